"""Stores batches until they are sent: in the outbox, and in the spool if the outbox lacks room or time runs out."""

from collections.abc import Iterable

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import LARGER_THAN_OUTBOX, Outbox
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import Batch

NOT_SPOOLED = "not spooled"
# Time reserved at the end of SHUTDOWN for spooling what no endpoint has accepted. It also limits a single write.
SPOOL_RESERVE_S = 0.3


class Store:
    """The outbox with the spool behind it. Spooling blocks until it is done or the deadline is over."""

    def __init__(self, outbox: Outbox, spool: Spool, ledger: Ledger, clock: Clock) -> None:
        self._outbox = outbox
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self._write_until: Deadline | None = None

    @property
    def has_batches(self) -> bool:
        """Whether there is something to send."""
        return self._outbox.held_bytes > 0 or self._spool.waiting > 0

    @property
    def is_nearly_full(self) -> bool:
        """Whether it is time to make room in memory."""
        return self._outbox.is_nearly_full

    def put(self, batches: Iterable[Batch]) -> None:
        """Store new batches. If memory is full, everything in it is spooled first."""
        for batch in batches:
            if not self._outbox.has_room_for(batch):
                self.spool_all(self.write_deadline())
            if not self._outbox.put(batch):
                # It is larger than the whole outbox.
                for left in self._spool.write([batch], self.write_deadline()):
                    self._ledger.dropped(left.signal, left.items, LARGER_THAN_OUTBOX)

    def put_on_disk(self, batches: Iterable[Batch], deadline: Deadline) -> None:
        """Spool new batches, joined to requests; without room on disk, put them into memory instead."""
        joined = self._outbox.joined(batches)
        if not self._spool.has_room_for(joined):
            self.put(joined)
            return
        for batch in joined:
            self._ledger.received(batch.signal, batch.items)
        self.put_back(joined, deadline)

    def put_back(self, batches: Iterable[Batch], deadline: Deadline) -> None:
        """Spool batches that were taken; what the disk has no room or time for goes back to memory."""
        self._outbox.put_back(self._spool.write(list(batches), deadline))

    def spool_all(self, deadline: Deadline) -> None:
        """Write everything in memory to disk, as far as room and time allow."""
        self.put_back(self._outbox.take_all(), deadline)

    def drop_all(self) -> None:
        """Drop and count what is still in memory, because the process ends."""
        for batch in self._outbox.take_all():
            self._ledger.dropped(batch.signal, batch.items, NOT_SPOOLED)

    def limit_time(self, deadline: Deadline) -> None:
        """End each write by *deadline* that begins from now on, unless it has a deadline of its own. For any thread."""
        self._write_until = deadline

    def write_deadline(self) -> Deadline:
        """Return the deadline of a write that begins now."""
        limit = self._write_until
        return limit.within(SPOOL_RESERVE_S) if limit else Deadline.after(SPOOL_RESERVE_S, self._clock)
