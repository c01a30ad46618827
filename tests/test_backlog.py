import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.backlog import Backlog
from telemetry_forwarder.batch import POSTS, Batch
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.config import Settings
from telemetry_forwarder.conversion import Conversion
from telemetry_forwarder.holding import NOT_SPOOLED
from telemetry_forwarder.inbox import Body
from telemetry_forwarder.ledger import Ledger, Tally
from telemetry_forwarder.spool import SPOOL_DAMAGED, Spool
from telemetry_forwarder.spool_format import SpoolFormat
from tests.fake_clock import FakeClock
from tests.otlp_messages import REQUESTS, log_records
from tests.posts import OBSERVED_NS, event, post, raw_event
from tests.said import Said

MB = 1_000_000


class Life:
    """One process that has a backlog."""

    def __init__(self, folder: Path, said: Said, *, spool_bytes: int, kind: type[Conversion]) -> None:
        self.clock = FakeClock()
        self.ledger = Ledger()
        settings = Settings({})
        self.conversion = kind(
            settings,
            Resource({}),
            self.ledger,
            version="1",
            temporality="delta",
            is_managed=False,
            new_id=lambda size: "ab" * size,
        )
        self.spool = Spool(
            str(folder),
            SpoolFormat(function="orders", version="7", life=b"\0\0\0\0"),
            ledger=self.ledger,
            clock=self.clock,
            diagnostics=said.diagnostics(self.clock),
            limit_bytes=spool_bytes,
            left_free_bytes=0,
        )
        self.backlog = Backlog(self.conversion, self.spool, self.ledger, self.clock, cpu_share=0.25)
        self.backlog.restore()

    def keeps(self, *contents: bytes) -> None:
        for content in contents:
            self.backlog.keep(Body(content, OBSERVED_NS), Deadline.after(1.0, self.clock))

    @property
    def posts(self) -> Tally:
        assert self.ledger.snapshot().is_exact
        return self.ledger.snapshot().posts


Lives = Callable[..., Life]


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with Said() as said:
        yield lambda spool_bytes=MB, kind=Conversion: Life(tmp_path, said, spool_bytes=spool_bytes, kind=kind)


def bodies(batches: list[Batch]) -> list[str]:
    requests = [REQUESTS[f"/v1/{batch.signal}"].FromString(batch.body) for batch in batches]
    return [log.body.string_value for request in requests for _, _, log in log_records(request)]


@pytest.mark.parametrize(
    ("size", "left_s", "is_enough"),
    # 0.12 s of CPU for a megabyte, of which a quarter is ours; and 0.3 s are the disk's.
    [(MB, 0.8, True), (MB, 0.75, False), (10, 0.301, True), (10, 0.1, True), (10, 0.0, False)],
)
def test_time_that_a_post_takes_is_judged_by_its_size_and_our_share(
    lives: Lives, size: int, left_s: float, is_enough: bool
) -> None:
    life = lives()
    body = Body(b" " * size, OBSERVED_NS)

    assert life.backlog.is_time_for(body)
    life.backlog.end(Deadline.after(left_s, life.clock))

    assert life.backlog.is_time_for(body) is is_enough


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

    converted = [bodies(second.backlog.convert_past()), bodies(second.backlog.convert_past())]

    assert first.posts == Tally(POSTS, received=2, spooled=2)
    assert converted == [["one", "two"], ["three"]]
    assert second.posts == Tally(POSTS, restored=2, delivered=2)
    assert (second.backlog.has_past, second.spool.used_bytes) == (False, 0)


REPORTS = [
    event(
        "platform.report", {"requestId": f"id {number}", "status": "timeout", "metrics": {"durationMs": 3.0}}
    )
    for number in range(400)
]
LONG = [f"line {number} of a long post" for number in range(2_000)]


def all_converted(life: Life) -> list[list[Any]]:
    converted = []
    while life.backlog.has_past:
        converted.append(bodies(life.backlog.convert_past()))
    return converted


def test_long_post_is_converted_in_pieces_and_in_order(lives: Lives) -> None:
    lives().keeps(post(*[event("function", line) for line in LONG]), post(event("function", "the end")))
    life = lives()

    converted = all_converted(life)

    assert [line for piece in converted for line in piece] == [*LONG, "the end"]
    assert max(map(len, converted)) < len(LONG) // 3
    assert life.posts == Tally(POSTS, restored=2, delivered=2)
    assert life.spool.used_bytes == 0


def test_post_that_was_begun_is_kept_from_there(lives: Lives) -> None:
    lives().keeps(post(*[event("function", line) for line in LONG]))
    life = lives()
    begun = bodies(life.backlog.convert_past())

    life.backlog.keep_rest(Deadline.after(1.0, life.clock))
    rest = all_converted(lives())

    assert 0 < len(begun) < len(LONG)
    assert begun + [line for piece in rest for line in piece] == LONG
    assert life.posts == Tally(POSTS, restored=1, delivered=1, received=1, spooled=1)


def test_post_that_was_begun_and_finds_no_time_comes_again(lives: Lives) -> None:
    lives().keeps(post(*[event("function", line) for line in LONG]))
    life = lives()
    life.backlog.convert_past()

    life.backlog.keep_rest(Deadline.after(0.0, life.clock))

    assert life.posts == Tally(POSTS, restored=1, spooled=1)
    assert [line for piece in all_converted(lives()) for line in piece] == LONG


def test_end_that_comes_while_a_post_is_converted_leaves_the_other_lines_to_the_next_life(
    lives: Lives,
) -> None:
    life = lives()
    body = post(*[event("function", line) for line in LONG], *REPORTS)

    life.backlog.end(Deadline.after(0.0, life.clock))
    batches = life.backlog.convert(Body(body, OBSERVED_NS))
    rest = all_converted(lives())

    assert 0 < len(bodies(batches)) < len(LONG) // 3
    assert bodies(batches) + [line for piece in rest for line in piece] == LONG
    assert life.conversion.take_reported() == [f"id {number}" for number in range(400)]
    assert life.ledger.snapshot().records_received == len(bodies(batches)) + len(REPORTS)
    assert life.posts == Tally(POSTS, received=1, spooled=1)


def test_post_for_which_there_is_time_is_converted_whole(lives: Lives) -> None:
    life = lives()

    life.backlog.end(Deadline.after(0.5, life.clock))
    batches = life.backlog.convert(Body(post(*[event("function", line) for line in LONG]), OBSERVED_NS))

    assert bodies(batches) == LONG
    assert life.posts == Tally(POSTS)


def test_post_without_lines_leaves_nothing(lives: Lives) -> None:
    life = lives()

    life.backlog.end(Deadline.after(0.0, life.clock))
    life.backlog.convert(Body(post(*REPORTS), OBSERVED_NS))

    assert len(life.conversion.take_reported()) == len(REPORTS)
    assert life.posts == Tally(POSTS)


def test_lines_that_cannot_be_written_down_as_they_came_are_converted(lives: Lives) -> None:
    """orjson reads 1,024 levels and writes 254."""
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    lines = post(*[event("function", line) for line in LONG])
    life = lives()

    life.backlog.end(Deadline.after(0.0, life.clock))
    batches = life.backlog.convert(Body(lines[:-1] + b"," + raw_event(deep) + b"]", OBSERVED_NS))

    assert len(bodies(batches)) == len(LONG) + 1
    assert life.posts == Tally(POSTS)


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
    assert life.posts == Tally(POSTS, restored=1, spooled=1)


def test_what_there_is_no_room_for_is_counted(lives: Lives) -> None:
    life = lives(spool_bytes=0)

    life.keeps(b"[]")

    assert life.posts == Tally(POSTS, received=1, dropped={NOT_SPOOLED: 1})


def test_file_that_is_damaged_costs_itself(lives: Lives, tmp_path: Path) -> None:
    lives().keeps(post(event("function", "lost")), post(event("function", "kept")))
    with open(sorted(tmp_path.iterdir())[0], "r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"?????")
    life = lives()

    assert bodies(life.backlog.convert_past()) == ["kept"]
    assert life.posts == Tally(POSTS, restored=2, delivered=1, dropped={SPOOL_DAMAGED: 1})


def test_files_that_are_gone_are_waited_for_no_longer(lives: Lives, tmp_path: Path) -> None:
    lives().keeps(b"[]")
    life = lives()
    for path in tmp_path.iterdir():
        path.unlink()

    assert life.backlog.convert_past() == []
    assert not life.backlog.has_past


class Broken(Conversion):
    def take_in_past(self, *_: object) -> list[Batch]:
        raise RuntimeError("broken on purpose")


def test_post_that_breaks_the_conversion_breaks_no_further_life(lives: Lives) -> None:
    lives().keeps(post(event("function", "a line")))
    life = lives(kind=Broken)

    assert life.backlog.convert_past() == []
    assert life.posts == Tally(POSTS, restored=1, dropped={"failed with RuntimeError": 1})
    assert lives().posts == Tally(POSTS)
