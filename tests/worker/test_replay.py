from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Tally
from telemetry_forwarder.buffer.spool import SPOOL_DAMAGED
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, POSTS, Batch
from tests.support.backlogs import LONG, LONG_POST, Life, bodies
from tests.support.captured_log import CapturedLog
from tests.support.posts import event, post

Lives = Callable[..., Life]


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with CapturedLog() as captured:
        yield lambda **settings: Life(tmp_path, captured, **settings)


def all_converted(life: Life) -> list[list[str]]:
    """What each call has given to memory."""
    given = []
    while life.past.has_more:
        given.append(bodies(life.past.convert()))
    return given


def test_post_is_converted_in_pieces_and_its_batches_take_its_place_on_disk(lives: Lives) -> None:
    lives().keeps(LONG_POST, post(event("function", "the end")))
    life = lives()

    given = all_converted(life)

    assert len(given) > 3
    assert not any(given)
    assert life.written == [*LONG, "the end"]
    assert life.posts == Tally(POSTS, restored=2, delivered=2)
    assert life.spool.used_bytes == 0


@pytest.mark.parametrize(("settings", "most"), [({}, 10_000), ({"BATCH_ITEMS": "700"}, 700)])
def test_what_a_post_has_become_is_joined_within_the_limits_of_a_request(
    lives: Lives, settings: dict[str, str], most: int
) -> None:
    lives().keeps(LONG_POST)
    life = lives(settings=settings)

    all_converted(life)

    items = []
    while entry := life.spool.take(LOGS):
        items.append(entry.batch.items)
        life.spool.done(entry)
    assert sum(items) == len(LONG)
    assert max(items) <= most
    assert len(items) <= len(LONG) // most * 2 + 1


def test_whoever_is_killed_meanwhile_loses_nothing(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    killed = lives()
    for _ in range(3):
        killed.past.convert()
    life = lives()

    all_converted(life)

    assert life.written == LONG


def test_post_that_was_begun_comes_again_whole(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    first = lives()
    first.past.convert()

    first.past.put_back()
    first.past.put_back()
    life = lives()
    all_converted(life)

    assert first.posts == Tally(POSTS, restored=1, spooled=1)
    assert life.written == LONG


def test_what_the_disk_has_no_room_for_is_given_to_memory(lives: Lives) -> None:
    other = post(event("function", "other"))
    first = lives()
    first.keeps(LONG_POST, other)
    life = lives(spool_bytes=first.spool.used_bytes)

    given = all_converted(life)

    assert [line for piece in given for line in piece] == LONG
    assert life.written == ["other"]
    assert life.posts == Tally(POSTS, restored=2, delivered=2)
    assert next(tally for tally in life.ledger.snapshot().tallies if tally.signal == LOGS).received == 1


def test_what_the_disk_refuses_is_given_to_memory(lives: Lives, tmp_path: Path) -> None:
    lives().keeps(post(event("function", "a line")))
    life = lives()
    life.spool._left_free_bytes = 1 << 60

    assert bodies(life.past.convert()) == ["a line"]
    assert life.posts == Tally(POSTS, restored=1, delivered=1)


def test_at_the_last_chance_each_piece_is_given_to_memory(lives: Lives) -> None:
    lives().keeps(LONG_POST)
    life = lives()

    first = bodies(life.past.convert())
    second = bodies(life.past.convert(is_last_chance=True))
    third = bodies(life.past.convert(is_last_chance=True))
    while life.past.has_more:
        last = bodies(life.past.convert(is_last_chance=True))

    assert first == []
    assert second + third == LONG[: len(second) + len(third)]
    assert 0 < len(third) < len(second)
    assert last == LONG[-len(last) :]
    assert life.written == []
    assert life.posts == Tally(POSTS, restored=1, delivered=1)


def test_file_that_is_damaged_costs_itself(lives: Lives, tmp_path: Path) -> None:
    lives().keeps(post(event("function", "lost")), post(event("function", "kept")))
    with open(sorted(tmp_path.iterdir())[0], "r+b") as file:
        file.seek(-5, 2)
        file.write(b"?????")
    life = lives()

    all_converted(life)

    assert life.written == ["kept"]
    assert life.posts == Tally(POSTS, restored=2, delivered=1, dropped={SPOOL_DAMAGED: 1})


def test_files_that_are_gone_are_waited_for_no_longer(lives: Lives, tmp_path: Path) -> None:
    lives().keeps(b"[]")
    life = lives()
    for path in tmp_path.iterdir():
        path.unlink()

    assert life.past.convert() == []
    assert not life.past.has_more


class Broken(Converter):
    def take_in_past(self, *_: object) -> list[Batch]:
        raise RuntimeError("broken on purpose")


def test_post_that_breaks_the_conversion_breaks_no_further_life(lives: Lives) -> None:
    lives().keeps(post(event("function", "a line")))
    life = lives(kind=Broken)

    assert life.past.convert() == []
    assert life.posts == Tally(POSTS, restored=1, dropped={"failed with RuntimeError": 1})
    assert lives().posts == Tally(POSTS)
