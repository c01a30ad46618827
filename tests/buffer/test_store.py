from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.outbox import LARGER_THAN_OUTBOX, OUTBOX_FULL, Outbox
from telemetry_forwarder.buffer.store import NOT_SPOOLED, Store
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import LOGS, SPANS, Batch
from tests.support.backlogs import spool_in
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock

OUTBOX_BYTES = 100


class Held:
    """A `Holding` and what it is made of."""

    def __init__(self, folder: Path, captured: CapturedLog, spool_bytes: int) -> None:
        self.clock = FakeClock()
        self.ledger = Ledger()
        self.outbox = Outbox(self.ledger, limit_bytes=OUTBOX_BYTES)
        self.spool = spool_in(folder, captured, self.ledger, self.clock, spool_bytes)
        self.holding = Store(self.outbox, self.spool, self.ledger, self.clock)

    def in_s(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, self.clock)

    def of(self, signal: str) -> Tally:
        snapshot = self.ledger.snapshot()
        assert snapshot.is_exact
        return next(tally for tally in snapshot.tallies if tally.signal == signal)


Make = Callable[..., Held]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with CapturedLog() as captured:
        yield lambda spool_bytes=10_000: Held(tmp_path, captured, spool_bytes)


def test_what_there_is_room_for_waits_in_memory(make: Make) -> None:
    held = make()
    before = held.holding.waiting

    held.holding.put([Batch(LOGS, b"x" * 70, 3), Batch(SPANS, b"y" * 30, 1)])

    assert (before, held.holding.waiting, held.holding.is_nearly_full) == (0, OUTBOX_BYTES, True)
    assert held.of(LOGS) == Tally(LOGS, received=3, held=3)
    assert held.spool.waiting == 0


def test_what_is_in_memory_makes_room_by_going_to_disk(make: Make) -> None:
    held = make()

    held.holding.put([Batch(LOGS, b"x" * 70, 3), Batch(LOGS, b"y" * 70, 1)])

    assert held.of(LOGS) == Tally(LOGS, received=4, held=1, spooled=3)
    assert held.holding.waiting > held.outbox.held_bytes == 70


def test_where_the_disk_takes_nothing_the_oldest_goes(make: Make) -> None:
    held = make(spool_bytes=0)

    held.holding.put([Batch(LOGS, b"x" * 70, 3), Batch(LOGS, b"y" * 70, 1)])

    assert held.of(LOGS) == Tally(LOGS, received=4, held=1, dropped={OUTBOX_FULL: 3})


def test_what_is_larger_than_the_memory_goes_to_disk_by_itself(make: Make) -> None:
    held = make()

    held.holding.put([Batch(LOGS, b"x" * (OUTBOX_BYTES + 1), 3)])

    assert held.of(LOGS) == Tally(LOGS, received=3, spooled=3)


def test_what_is_larger_than_memory_and_disk_is_counted(make: Make) -> None:
    held = make(spool_bytes=0)

    held.holding.put([Batch(LOGS, b"x" * (OUTBOX_BYTES + 1), 3)])

    assert held.of(LOGS) == Tally(LOGS, received=3, dropped={LARGER_THAN_OUTBOX: 3})


def test_everything_is_written_down(make: Make) -> None:
    held = make()
    held.holding.put([Batch(LOGS, b"x", 3), Batch(SPANS, b"y", 1)])

    held.holding.spool_all(held.in_s(1.0))

    assert held.of(LOGS) == Tally(LOGS, received=3, spooled=3)
    assert held.of(SPANS) == Tally(SPANS, received=1, spooled=1)
    assert held.outbox.is_empty


def test_what_there_is_no_time_to_write_down_stays_in_memory_until_it_is_dropped(make: Make) -> None:
    held = make()
    held.holding.put([Batch(LOGS, b"x", 3)])

    held.holding.spool_all(held.in_s(0.0))
    before = held.of(LOGS)
    held.holding.drop()

    assert before == Tally(LOGS, received=3, held=3)
    assert held.of(LOGS) == Tally(LOGS, received=3, dropped={NOT_SPOOLED: 3})


def test_what_was_taken_comes_back_on_disk(make: Make) -> None:
    held = make()
    held.holding.put([Batch(LOGS, b"x", 3)])
    taken = held.outbox.take(LOGS)
    assert taken

    held.holding.put_back([taken], held.in_s(1.0))

    assert held.of(LOGS) == Tally(LOGS, received=3, spooled=3)
