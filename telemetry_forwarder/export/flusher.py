"""Sends the spooled batches, then those in memory, each signal in its own thread.

Neither a flush nor the worker waits for the other: a `SendFinished` in the inbox reports the end of each request.
So an endpoint may be slow, and no request is broken off only because the function must not wait any longer.
"""

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool import Spool, SpooledBatch
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import SIGNALS, Batch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.export.exporter import Exporters, ExportResult
from telemetry_forwarder.export.sender_thread import SenderThread
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import SendFinished


class Flusher:
    """Sends at most one batch of each signal at a time. For the worker's thread."""

    def __init__(
        self, inbox: Inbox, outbox: Outbox, spool: Spool, *, exporters: Exporters, ledger: Ledger, log: Diagnostics
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._spool = spool
        self.exporters = exporters
        self._ledger = ledger
        self._log = log
        self._threads = {signal: SenderThread(f"export of {signal}") for signal in SIGNALS}
        self._running: dict[str, _Export] = {}
        self._deadline: Deadline | None = None
        self._is_last_chance = False
        self._failed: set[str] = set()
        """The signals of which something is left."""

    @property
    def is_over(self) -> bool:
        return not self._running

    @property
    def was_delivered(self) -> bool:
        """Whether the flush has delivered everything so far."""
        return not self._failed

    def begin(self, deadline: Deadline, *, is_last_chance: bool) -> None:
        """Start to send everything; *is_last_chance* as for `Exporters.send`."""
        self._deadline = deadline
        self._is_last_chance = is_last_chance
        self._failed.clear()
        self.send_more()

    def send_more(self) -> None:
        """Send what was added since, of each signal that is not being sent and has not failed."""
        for signal in SIGNALS:
            if signal not in self._running and signal not in self._failed:
                self._send_next(signal)

    def sent(self, signal: str) -> None:
        """Account for the batch whose `SendFinished` was received, and send the next of *signal*."""
        if (export := self._running.pop(signal, None)) is None:
            return  # It was abandoned.
        if self._settle(export.result, export.spooled):
            self._send_next(signal)
        else:
            self._failed.add(signal)

    def abandon(self) -> list[Batch]:
        """Stop waiting for running requests; return their batches, except those that are on disk.

        No other flush may follow.
        """
        exports, self._running = self._running.values(), {}
        for export in exports:
            if export.spooled is not None:
                self._spool.put_back(export.spooled)
        return [export.batch for export in exports if export.spooled is None]

    def _send_next(self, signal: str) -> None:
        """Start to send the next batch of *signal*, if there is one and time is left."""
        deadline = self._deadline
        assert deadline is not None
        if deadline.is_over():
            if self._outbox.held_items(signal):
                self._failed.add(signal)
            return
        spooled = self._spool.take(signal)
        batch = self._outbox.take(signal) if spooled is None else spooled.batch
        if batch is None:
            return
        export = self._running[signal] = _Export(batch, spooled)
        is_last_chance = self._is_last_chance

        def task() -> None:
            try:
                export.result = self.exporters.send(batch, deadline, is_last_chance=is_last_chance)
            except Exception as exc:  # noqa: BLE001  # our own defect: if the batch were held, it would fail forever
                export.result = ExportResult(batch, dropped={f"failed with {type(exc).__name__}": batch.items})
            finally:
                self._inbox.put_event(SendFinished(signal))

        try:
            self._threads[signal].add(task)
        except ThreadStartError as exc:
            # One failed attempt: the batch is held.
            self._log.warn(f"{exc}; telemetry is held", once_a_minute="threads")
            self._inbox.put_event(SendFinished(signal))

    def _settle(self, result: ExportResult, spooled: SpooledBatch | None) -> bool:
        """Account for *result*; return whether nothing of its batch is left to be sent."""
        held = result.held
        if spooled is not None and held is not None and held.items == spooled.batch.items:
            self._spool.put_back(spooled)
            return False
        signal = result.batch.signal
        self._ledger.delivered(signal, result.delivered)
        self._ledger.rejected(signal, result.rejected)
        for reason, count in result.dropped.items():
            self._ledger.dropped(signal, count, reason)
        if spooled is not None:
            # What is still held goes to memory: from disk, all would be sent again.
            self._spool.remove(spooled)
        if held is not None:
            self._keep(held)
        return held is None

    def _keep(self, batch: Batch) -> None:
        """Put *batch* back into memory, or on disk if memory has filled up in the meantime."""
        left = [batch]
        if not self._outbox.has_room_for(batch) and self._deadline is not None:
            left = self._spool.write(left, self._deadline.not_before(SPOOL_RESERVE_S))
        self._outbox.put_back(left)


class _Export:
    """One batch that is being sent, its origin, and its result."""

    __slots__ = ("batch", "result", "spooled")

    def __init__(self, batch: Batch, spooled: SpooledBatch | None) -> None:
        self.batch = batch
        self.spooled = spooled
        """The batch on disk; None if the batch comes from memory."""
        self.result = ExportResult(batch, held=batch)
