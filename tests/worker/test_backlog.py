from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Tally
from telemetry_forwarder.buffer.store import NOT_SPOOLED
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import POSTS
from telemetry_forwarder.receiver.messages import Body
from tests.support.backlogs import LONG, LONG_POST, MB, Life, bodies
from tests.support.captured_log import CapturedLog
from tests.support.posts import OBSERVED_NS, event, post

Lives = Callable[..., Life]


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with CapturedLog() as captured:
        yield lambda **settings: Life(tmp_path, captured, **settings)


SHORT_POST = post(event("function", "a line"))


@pytest.mark.parametrize(
    ("body", "left_s", "passed_s", "is_enough"),
    [
        # Converting takes 0.12 s per MB of a whole CPU, here a quarter; the last 0.7 s are for sending and spooling.
        (LONG_POST, 2.0, 1.21, True),
        (LONG_POST, 2.0, 1.24, False),
        (SHORT_POST, 2.0, 1.29, True),
        (SHORT_POST, 2.0, 1.3, False),
        # Or half of what there is.
        (SHORT_POST, 0.1, 0.04, True),
        (SHORT_POST, 0.1, 0.05, False),
    ],
)
def test_post_is_converted_if_there_is_time_for_all_of_it(
    lives: Lives, body: bytes, left_s: float, passed_s: float, is_enough: bool
) -> None:
    life = lives()

    life.backlog.end(Deadline.after(left_s, life.clock))
    life.clock.advance(passed_s)
    life.backlog.convert(Body(body, OBSERVED_NS))

    assert (life.posts.spooled == 0) is is_enough


def test_to_write_down_what_waits_takes_time_as_well(lives: Lives) -> None:
    life = lives()
    body = Body(SHORT_POST, OBSERVED_NS)

    life.backlog.end(Deadline.after(2.0, life.clock))
    life.clock.advance(1.2)
    before = bodies(life.backlog.convert(body))
    for _ in range(15):
        life.backlog.add(Body(b" " * MB, OBSERVED_NS))

    assert (before, life.backlog.convert(body)) == (["a line"], [])
    assert life.posts == Tally(POSTS, received=1, spooled=1)


def test_posts_are_taken_in_the_order_in_which_they_came(lives: Lives) -> None:
    backlog = lives().backlog
    first, second = Body(b"1", 1), Body(b"2", 2)

    backlog.add(first)
    backlog.add(second)

    assert not backlog.is_empty
    assert [backlog.take(), backlog.take()] == [first, second]
    assert backlog.is_empty


def test_what_is_kept_is_converted_by_the_next_life(lives: Lives) -> None:
    first = lives()
    first.keeps(post(event("function", "one"), event("function", "two")), post(event("function", "three")))
    second = lives()

    in_memory = [*second.backlog.convert_past(), *second.backlog.convert_past()]

    assert first.posts == Tally(POSTS, received=2, spooled=2)
    assert (in_memory, second.written) == ([], ["one", "two", "three"])
    assert second.posts == Tally(POSTS, restored=2, delivered=2)
    assert (second.backlog.has_past, second.spool.used_bytes) == (False, 0)


def test_what_waits_is_bounded(lives: Lives) -> None:
    life = lives()

    for number in range(20):
        life.backlog.add(Body(b"%d" % number * (MB // len(str(number))), OBSERVED_NS))

    waiting = 0
    while not life.backlog.is_empty:
        waiting += len(life.backlog.take().content)
    assert 15 * MB < waiting < 17 * MB
    assert life.posts.received > 2


def test_what_is_kept_in_this_life_is_not_of_the_past(lives: Lives) -> None:
    life = lives()

    life.keeps(b"[]")

    assert not life.backlog.has_past


def test_at_the_end_the_past_is_left_to_the_next_life(lives: Lives) -> None:
    lives().keeps(b"[]")
    life = lives()

    had_past = life.backlog.has_past
    life.backlog.end(Deadline.after(1.0, life.clock))

    assert (had_past, life.backlog.has_past, life.backlog.is_ending) == (True, False, True)
    assert (life.backlog.is_empty, life.backlog.has_work) == (True, False)
    assert life.posts == Tally(POSTS, restored=1, spooled=1)


def test_where_there_is_no_next_life_the_past_is_converted_while_there_is_time(lives: Lives) -> None:
    lives().keeps(LONG_POST, SHORT_POST)
    life = lives()

    life.backlog.end(Deadline.after(2.0, life.clock))
    life.backlog.end_for_good()
    at_once = bodies(life.backlog.convert_past())
    had_work = life.backlog.has_work
    life.clock.advance(1.3)
    too_late = life.backlog.convert_past()

    assert (at_once, too_late) == (LONG, [])
    assert (had_work, life.backlog.has_work) == (True, False)
    assert life.posts == Tally(POSTS, restored=2, delivered=1, spooled=1)


def test_the_rest_is_kept(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    life = lives()
    life.backlog.add(Body(b"[]", OBSERVED_NS))

    life.backlog.keep_rest(Deadline.after(1.0, life.clock))

    assert life.posts == Tally(POSTS, restored=1, received=1, spooled=2)
    assert life.backlog.is_empty


def test_what_there_is_no_room_for_is_counted(lives: Lives) -> None:
    life = lives(spool_bytes=0)

    life.keeps(b"[]")

    assert life.posts == Tally(POSTS, received=1, dropped={NOT_SPOOLED: 1})
