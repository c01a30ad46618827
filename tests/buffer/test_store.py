from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.outbox import LARGER_THAN_OUTBOX, OUTBOX_FULL
from telemetry_forwarder.buffer.store import NOT_SPOOLED, SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import LOGS, SPANS, Batch
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.spooling import outbox_of, spool_in

OUTBOX_BYTES = 100


class Bench:
    """A `Store` and its parts."""

    def __init__(self, folder: Path, captured: CapturedLog, spool_bytes: int) -> None:
        self.clock = FakeClock()
        self.ledger = Ledger()
        self.outbox = outbox_of(self.ledger, limit_bytes=OUTBOX_BYTES)
        self.spool = spool_in(folder, captured, self.ledger, self.clock, spool_bytes)
        self.store = Store(self.outbox, self.spool, self.ledger, self.clock)

    def in_s(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, self.clock)

    def of(self, signal: str) -> Tally:
        snapshot = self.ledger.snapshot()
        assert snapshot.is_exact
        return next(tally for tally in snapshot.tallies if tally.signal == signal)


Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with CapturedLog() as captured:
        yield lambda spool_bytes=10_000: Bench(tmp_path, captured, spool_bytes)


def test_batches_stay_in_memory_while_there_is_room(make: Make) -> None:
    bench = make()
    before = bench.store.has_batches

    bench.store.put([Batch(LOGS, b"x" * 70, 3), Batch(SPANS, b"y" * 30, 1)])

    assert (before, bench.store.has_batches, bench.store.is_nearly_full) == (False, True, True)
    assert bench.of(LOGS) == Tally(LOGS, received=3, held=3)
    assert bench.spool.waiting == 0


def test_full_memory_is_spooled_to_make_room(make: Make) -> None:
    bench = make()

    bench.store.put([Batch(LOGS, b"x" * 70, 3), Batch(LOGS, b"y" * 70, 1)])

    assert bench.of(LOGS) == Tally(LOGS, received=4, held=1, spooled=3)
    assert (bench.spool.waiting, bench.outbox.held_bytes) == (1, 70)


@pytest.mark.parametrize(("spool_bytes", "spooled", "held"), [(10_000, 4, 0), (0, 0, 4)])
def test_new_batches_go_to_disk_in_one_file_or_to_memory(make: Make, spool_bytes: int, spooled: int, held: int) -> None:
    bench = make(spool_bytes=spool_bytes)

    bench.store.put_on_disk([Batch(LOGS, b"x", 3), Batch(LOGS, b"y", 1)], bench.in_s(1.0))

    assert bench.of(LOGS) == Tally(LOGS, received=4, held=held, spooled=spooled)
    assert (bench.spool.waiting, bench.outbox.held_bytes) == (int(spooled > 0), 2 * int(held > 0))


def test_oldest_batch_is_dropped_if_it_cannot_be_spooled(make: Make) -> None:
    bench = make(spool_bytes=0)

    bench.store.put([Batch(LOGS, b"x" * 70, 3), Batch(LOGS, b"y" * 70, 1)])

    assert bench.of(LOGS) == Tally(LOGS, received=4, held=1, dropped={OUTBOX_FULL: 3})


def test_batch_larger_than_memory_is_spooled_alone(make: Make) -> None:
    bench = make()

    bench.store.put([Batch(LOGS, b"x" * (OUTBOX_BYTES + 1), 3)])

    assert bench.of(LOGS) == Tally(LOGS, received=3, spooled=3)


def test_batch_larger_than_memory_and_disk_is_dropped(make: Make) -> None:
    bench = make(spool_bytes=0)

    bench.store.put([Batch(LOGS, b"x" * (OUTBOX_BYTES + 1), 3)])

    assert bench.of(LOGS) == Tally(LOGS, received=3, dropped={LARGER_THAN_OUTBOX: 3})


def test_everything_in_memory_is_spooled(make: Make) -> None:
    bench = make()
    bench.store.put([Batch(LOGS, b"x", 3), Batch(SPANS, b"y", 1)])

    bench.store.spool_all(bench.in_s(1.0))

    assert bench.of(LOGS) == Tally(LOGS, received=3, spooled=3)
    assert bench.of(SPANS) == Tally(SPANS, received=1, spooled=1)
    assert bench.outbox.held_bytes == 0
    assert bench.store.has_batches


def test_batch_that_there_is_no_time_to_spool_stays_in_memory_until_it_is_dropped(make: Make) -> None:
    bench = make()
    bench.store.put([Batch(LOGS, b"x", 3)])

    bench.store.spool_all(bench.in_s(0.0))
    before = bench.of(LOGS)
    bench.store.drop_all()

    assert before == Tally(LOGS, received=3, held=3)
    assert bench.of(LOGS) == Tally(LOGS, received=3, dropped={NOT_SPOOLED: 3})


def test_batch_that_is_put_back_is_spooled(make: Make) -> None:
    bench = make()
    bench.store.put([Batch(LOGS, b"x", 3)])
    taken = bench.outbox.take(LOGS)
    assert taken

    bench.store.put_back([taken], bench.in_s(1.0))

    assert bench.of(LOGS) == Tally(LOGS, received=3, spooled=3)


@pytest.mark.parametrize(("limit_s", "left_s"), [(0.1, 0.1), (10.0, SPOOL_RESERVE_S), (0.0, 0.0)])
def test_a_write_ends_before_the_limit(make: Make, limit_s: float, left_s: float) -> None:
    bench = make()

    bench.store.limit_time(bench.in_s(limit_s))

    assert bench.store.write_deadline().left_s() == pytest.approx(left_s)


def test_without_a_limit_a_write_may_take_its_time(make: Make) -> None:
    assert make().store.write_deadline().left_s() == pytest.approx(SPOOL_RESERVE_S)
