"""Sends what is held, each signal by itself and beside the worker: from disk first, then from memory.

A flush waits for nobody and nobody has to wait for it: the worker goes on meanwhile, and is told by a `SendFinished` in
the inbox when something has come to an end. So an endpoint may take its time, and no request is broken off only
because the function must not wait any longer.
"""

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool import Spool, SpooledBatch
from telemetry_forwarder.buffer.store import SPOOL_S
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import SIGNALS, Batch
from telemetry_forwarder.core.frozen import state
from telemetry_forwarder.export.delivery import Delivery
from telemetry_forwarder.export.route import Result
from telemetry_forwarder.export.sender_thread import SenderThread, Task
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import SendFinished


@state
class _Way:
    """What is being sent of one signal."""

    batch: Batch
    entry: SpooledBatch | None
    """Where it comes from disk."""
    task: Task[Result]


class Flusher:
    """At most one request of each signal is under way. Belongs to the worker's thread."""

    def __init__(
        self, inbox: Inbox, outbox: Outbox, spool: Spool, delivery: Delivery, ledger: Ledger
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._spool = spool
        self._delivery = delivery
        self._ledger = ledger
        self._lanes = {signal: SenderThread[Result](f"flush of {signal}") for signal in SIGNALS}
        self._ways: dict[str, _Way] = {}
        self._deadline: Deadline | None = None
        self._is_last_chance = False
        self._failed: set[str] = set()
        self.was_delivered = True
        """Whether the flush, as far as it has come, has left nothing behind."""

    @property
    def is_over(self) -> bool:
        return not self._ways

    def begin(self, deadline: Deadline, *, is_last_chance: bool) -> None:
        """Send everything, beginning now; *is_last_chance* as in `Delivery.send`."""
        self._deadline = deadline
        self._is_last_chance = is_last_chance
        self._failed.clear()
        self.was_delivered = True
        self.go_on()

    def go_on(self) -> None:
        """Send what has come since: of each signal that has nothing under way, and has not failed."""
        for signal in SIGNALS:
            if signal not in self._ways and signal not in self._failed:
                self._send_next(signal)

    def sent(self, signal: str) -> None:
        """Enter into the books what became of the request that was under way, and send the next."""
        if (way := self._ways.pop(signal, None)) is None:
            return
        if not self._settle(way.task.result(), way.entry):
            self._failed.add(signal)
            self.was_delivered = False
        else:
            self._send_next(signal)

    def abandon(self) -> list[Batch]:
        """Wait for nothing any more; give what was under way and is not on disk."""
        ways, self._ways = self._ways, {}
        for way in ways.values():
            if way.entry is not None:
                self._spool.put_back(way.entry)
        return [way.batch for way in ways.values() if way.entry is None]

    def _send_next(self, signal: str) -> None:
        """Start sending the next batch of *signal*, if there is one and time is left."""
        deadline = self._deadline
        assert deadline is not None
        if deadline.is_over():
            self.was_delivered &= not self._outbox.held_items(signal)
            return
        entry = self._spool.take(signal)
        batch = self._outbox.take(signal) if entry is None else entry.batch
        if batch is None:
            return
        work = _Work(self._delivery, self._inbox, batch, deadline, is_last_chance=self._is_last_chance)
        self._ways[signal] = _Way(batch, entry, self._lanes[signal].start(work))

    def _settle(self, result: Result, entry: SpooledBatch | None) -> bool:
        """Say whether all of it is done with."""
        held = result.held
        if entry is not None and held is not None and held.items == entry.batch.items:
            self._spool.put_back(entry)
            return False
        signal = result.batch.signal
        self._ledger.delivered(signal, result.delivered)
        self._ledger.rejected(signal, result.rejected)
        for reason, count in result.dropped.items():
            self._ledger.dropped(signal, count, reason)
        if entry is not None:
            # What is still held goes to memory: from disk, all would be sent again.
            self._spool.done(entry)
        if held is not None:
            self._keep(held)
        return held is None

    def _keep(self, batch: Batch) -> None:
        """Put *batch* back; to disk, where memory has filled up since it was taken."""
        left = [batch]
        if not self._outbox.has_room_for(batch) and self._deadline is not None:
            left = self._spool.write(left, self._deadline.not_before(SPOOL_S))
        self._outbox.put_back(left)


class _Work:
    """One request on its way, in the lane's thread. The worker is told of its end, whatever that is."""

    __slots__ = ("_batch", "_deadline", "_delivery", "_inbox", "_is_last_chance")

    def __init__(
        self, delivery: Delivery, inbox: Inbox, batch: Batch, deadline: Deadline, *, is_last_chance: bool
    ) -> None:
        self._delivery = delivery
        self._inbox = inbox
        self._batch = batch
        self._deadline = deadline
        self._is_last_chance = is_last_chance

    def __call__(self) -> Result:
        batch = self._batch
        try:
            return self._delivery.send(batch, self._deadline, is_last_chance=self._is_last_chance)
        except Exception as exc:
            # Ours, not the endpoint's. It costs this batch: to hold it would be to fail on it for ever.
            return Result(batch, dropped={f"failed with {type(exc).__name__}": batch.items})
        finally:
            # Whatever happened: without it the flush would never be over.
            self._inbox.put_event(SendFinished(batch.signal))
