"""Where batches wait for delivery: in the outbox, and on disk what it has no room or no time for."""

from collections.abc import Iterable

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import LARGER_THAN_OUTBOX, Outbox
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import Batch

NOT_SPOOLED = "not spooled"
# Left of the shutdown for writing to disk what no endpoint has taken; and no single write takes longer.
SPOOL_S = 0.3


class Store:
    """The outbox and the spool behind it. To write to disk blocks until it is done or the deadline is over."""

    def __init__(self, outbox: Outbox, spool: Spool, ledger: Ledger, clock: Clock) -> None:
        self._outbox = outbox
        self._spool = spool
        self._ledger = ledger
        self._clock = clock

    @property
    def waiting(self) -> int:
        """More than nothing where there is something to send."""
        return self._outbox.held_bytes + self._spool.waiting

    @property
    def is_nearly_full(self) -> bool:
        """Whether it is time to make room in memory."""
        return self._outbox.is_nearly_full

    def put(self, batches: Iterable[Batch]) -> None:
        """Take in new batches. Where memory is full, what is in it goes to disk."""
        for batch in batches:
            if not self._outbox.has_room_for(batch):
                self.spool_all(self._soon())
            if not self._outbox.put(batch):
                self._put_on_disk(batch)

    def put_back(self, batches: Iterable[Batch], deadline: Deadline) -> None:
        """Take back what was taken, to disk; to memory, where there is no room or no time for it there."""
        self._outbox.put_back(self._spool.write(list(batches), deadline))

    def spool_all(self, deadline: Deadline) -> None:
        """Write everything to disk, as far as there is room and time."""
        self.put_back(self._outbox.take_all(), deadline)

    def drop(self) -> None:
        """Nobody will take what is still in memory: count it."""
        for batch in self._outbox.take_all():
            self._ledger.dropped(batch.signal, batch.items, NOT_SPOOLED)

    def _put_on_disk(self, batch: Batch) -> None:
        """*batch* is larger than all of the outbox: it goes to disk by itself, or nowhere."""
        for left in self._spool.write([batch], self._soon()):
            self._ledger.dropped(left.signal, left.items, LARGER_THAN_OUTBOX)

    def _soon(self) -> Deadline:
        return Deadline.after(SPOOL_S, self._clock)
