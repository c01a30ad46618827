from collections import deque
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Tally
from telemetry_forwarder.buffer.spool import SPOOL_DAMAGED, SPOOL_FULL
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import POSTS
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.worker.replay import Replay
from telemetry_forwarder.worker.shared_converter import SharedConverter
from tests.support.captured_log import CapturedLog
from tests.support.posts import OBSERVED_NS, event, post
from tests.support.spooling import LONG, LONG_POST, Process, posts_on_disk

FIRST, SECOND = post(event("function", "first")), post(event("function", "second"))


class Bench:
    """The replay of one process."""

    def __init__(
        self, folder: Path, captured: CapturedLog, *, kind: type[Converter] = Converter, spool_bytes: int = 1_000_000
    ) -> None:
        self.process = process = Process(folder, captured, kind=kind, spool_bytes=spool_bytes)
        conversion = SharedConverter(process.converter, process.ownership, counts=process.counts, ledger=process.ledger)
        self.replay = Replay(conversion, process.store, process.spool, ledger=process.ledger)

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(1.0, self.process.clock)

    def spool(self, *contents: bytes, at: int = 0) -> None:
        """Spool the rest of each post in a file of its own."""
        for content in contents:
            body = Body(content, OBSERVED_NS)
            body.at = at
            self.replay.spool([body], self.deadline)

    def convert(self, *, is_last_chance: bool = False) -> ConversionResult | None:
        if self.replay.next_body() is None:
            return None
        return self.replay.convert(self.deadline, is_last_chance=is_last_chance)


@pytest.fixture
def earlier(tmp_path: Path, captured: CapturedLog) -> Bench:
    """A process that has ended before the one of the test."""
    return Bench(tmp_path, captured)


@pytest.fixture
def bench(earlier: Bench, tmp_path: Path, captured: CapturedLog) -> Bench:  # it lists the folder later
    return Bench(tmp_path, captured)


def test_without_posts_there_is_nothing_to_do(bench: Bench) -> None:
    bench.replay.restore()

    assert not bench.replay.has_posts
    assert bench.convert() is None


def test_posts_of_an_earlier_process_are_converted_oldest_first_and_their_files_replaced(
    earlier: Bench, bench: Bench
) -> None:
    earlier.spool(FIRST, SECOND)
    bench.replay.restore()
    had = (bench.replay.has_posts, bench.replay.has_own)

    bench.convert()
    between = bench.replay.has_posts
    bench.convert()

    assert (had, between, bench.replay.has_posts) == ((True, False), True, False)
    assert (bench.process.in_memory, bench.process.on_disk) == ([], ["first", "second"])
    assert bench.process.posts == Tally(POSTS, restored=2, delivered=2)


@pytest.mark.parametrize("is_own", [True, False])
def test_batches_of_own_posts_and_at_the_last_chance_stay_in_memory(
    earlier: Bench, bench: Bench, *, is_own: bool
) -> None:
    (bench if is_own else earlier).spool(FIRST)
    bench.replay.restore()

    bench.convert(is_last_chance=not is_own)

    assert (bench.process.in_memory, bench.process.on_disk) == (["first"], [])


def test_post_is_converted_in_slices_and_its_file_removed_after_the_last(
    earlier: Bench, bench: Bench, tmp_path: Path
) -> None:
    earlier.spool(LONG_POST)
    bench.replay.restore()
    files = []

    while bench.convert():
        files.append(len([path for path in tmp_path.iterdir() if "-posts-" in path.name]))

    assert files == [1, 1, 0]
    assert bench.process.on_disk == LONG


@pytest.mark.parametrize("slices", [0, 1])
def test_what_is_not_converted_when_it_stops_is_left_on_disk(earlier: Bench, bench: Bench, slices: int) -> None:
    earlier.spool(LONG_POST, SECOND)
    bench.replay.restore()
    for _ in range(slices):
        bench.convert()
    bench.replay.next_body()

    bench.replay.stop(bench.deadline)

    assert not bench.replay.has_posts
    posts = Tally(POSTS, restored=2, received=slices, delivered=slices, spooled=2)
    assert bench.process.posts == posts
    assert (len(bench.process.in_memory) > 0) is bool(slices)


def test_stopping_without_a_post_changes_nothing(earlier: Bench, bench: Bench) -> None:
    earlier.spool(FIRST)
    bench.replay.restore()

    bench.replay.stop(bench.deadline)

    assert bench.process.posts == Tally(POSTS, restored=1, spooled=1)


def test_rest_of_a_post_is_spooled_as_a_post(bench: Bench) -> None:
    both = post(event("function", "first"), event("function", "second"))

    # The first slice ends before the comma.
    bench.spool(both, at=both.index(b"},{") + 2)
    had = bench.replay.has_own
    bench.replay.has_posts = True
    bench.convert()

    assert had
    assert not bench.replay.has_own
    assert bench.process.in_memory == ["second"]


def test_posts_that_the_disk_does_not_take_are_dropped(tmp_path: Path, captured: CapturedLog) -> None:
    bench = Bench(tmp_path, captured, spool_bytes=0)

    bench.spool(FIRST, SECOND)

    assert not bench.replay.has_own
    assert bench.process.posts == Tally(POSTS, received=2, dropped={"not spooled": 2})


class Failing(Converter):
    def convert_spooled(self, *_: object) -> ConversionResult:
        raise RuntimeError("broken on purpose")


def test_post_that_the_conversion_fails_on_is_dropped(earlier: Bench, tmp_path: Path, captured: CapturedLog) -> None:
    earlier.spool(FIRST, SECOND)
    bench = Bench(tmp_path, captured, kind=Failing)
    bench.replay.restore()

    bench.convert()

    assert bench.process.posts == Tally(POSTS, restored=2, dropped={"failed with RuntimeError": 1}, spooled=1)


class FailingAtSecond(Converter):
    def convert_spooled(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        if b"second" in body:
            raise RuntimeError("broken on purpose")
        return super().convert_spooled(body, observed_ns, at)


THIRD = post(event("function", "third"))


def together(bench: Bench, *contents: bytes) -> None:
    """Spool posts in one file."""
    bench.replay.spool([Body(content, OBSERVED_NS) for content in contents], bench.deadline)


def test_file_with_several_posts_is_removed_after_the_last(earlier: Bench, bench: Bench, tmp_path: Path) -> None:
    together(earlier, FIRST, SECOND, THIRD)
    bench.replay.restore()
    files = []

    while bench.convert():
        files.append(len([path for path in tmp_path.iterdir() if "-posts-" in path.name]))

    assert files == [1, 1, 0]
    assert bench.process.on_disk == ["first", "second", "third"]
    assert bench.process.posts == Tally(POSTS, restored=3, delivered=3)


def test_rest_of_a_file_with_several_posts_is_left_on_disk(
    earlier: Bench, bench: Bench, tmp_path: Path, captured: CapturedLog
) -> None:
    together(earlier, FIRST, SECOND, THIRD)
    bench.replay.restore()
    bench.convert()

    bench.replay.stop(bench.deadline)

    assert bench.process.posts == Tally(POSTS, restored=3, received=2, delivered=3, spooled=2)
    assert bench.process.in_memory == ["first"]
    last = Bench(tmp_path, captured)
    last.replay.restore()
    while last.convert():
        pass
    assert last.process.on_disk == ["second", "third"]


def test_failure_of_one_of_several_posts_costs_only_that(earlier: Bench, tmp_path: Path, captured: CapturedLog) -> None:
    together(earlier, FIRST, SECOND, THIRD)
    bench = Bench(tmp_path, captured, kind=FailingAtSecond)
    bench.replay.restore()

    while bench.convert():
        pass

    assert bench.process.on_disk == ["first", "third"]
    failed = {"failed with RuntimeError": 1}
    assert bench.process.posts == Tally(POSTS, restored=3, delivered=2, dropped=failed)


def test_skipped_post_leaves_the_others_of_its_file(earlier: Bench, bench: Bench) -> None:
    together(earlier, FIRST, FIRST, THIRD)
    bench.replay.restore()
    bench.convert()
    bench.replay.next_body()

    bench.replay.skip(bench.deadline)

    assert bench.convert()
    assert (bench.process.on_disk, bench.process.in_memory) == (["first", "third"], [])
    assert bench.process.posts == Tally(POSTS, restored=3, delivered=3)


def test_own_posts_wait_until_the_last_of_their_file_is_converted(bench: Bench) -> None:
    together(bench, FIRST, SECOND)
    bench.replay.restore()
    waiting = [bench.replay.has_own]

    while bench.convert():
        waiting.append(bench.replay.has_own)

    assert waiting == [True, True, False]


def test_small_spool_keeps_the_newest_posts(tmp_path: Path, captured: CapturedLog) -> None:
    bench = Bench(tmp_path, captured, spool_bytes=100_000)
    posts = [post(event("function", f"post {number}")).ljust(10_000) for number in range(20)]
    bodies = deque(Body(content, OBSERVED_NS) for content in posts)

    while bodies:
        bench.replay.spool_oldest(bodies, bench.deadline)

    assert posts_on_disk(tmp_path) == posts[-8:]
    assert bench.process.posts == Tally(POSTS, received=20, spooled=8, dropped={SPOOL_FULL: 12})


def test_damaged_files_do_not_delay_what_follows_them(earlier: Bench, bench: Bench, tmp_path: Path) -> None:
    earlier.spool(*[FIRST] * 40, SECOND)
    for path in sorted(tmp_path.iterdir())[:40]:
        path.write_bytes(b"damaged")
    bench.replay.restore()

    steps = 0
    while bench.replay.has_posts:
        steps += 1
        bench.convert()

    assert steps == 3
    assert bench.process.on_disk == ["second"]
    assert bench.process.posts == Tally(POSTS, restored=41, delivered=1, dropped={SPOOL_DAMAGED: 40})
