"""Sends the spooled batches and those in memory, the oldest first, each signal in its own thread.

Neither a flush nor the worker waits for the other: a `SendFinished` in the inbox reports the end of each request.
So an endpoint may be slow, and no request is broken off only because the function must not wait any longer.
"""

from collections.abc import Callable
from math import inf

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpooledBatch
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.batch import SIGNALS, Batch
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.export.exporter import Exporters, ExportResult
from telemetry_forwarder.export.sender_thread import SenderThread
from telemetry_forwarder.export.slow_start import SlowStart
from telemetry_forwarder.export.splitting import joined
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import SendFinished


class Flusher:
    """Sends at most one batch of each signal at a time. For the thread that has the ownership."""

    def __init__(
        self,
        inbox: Inbox,
        outbox: Outbox,
        spool: Spool,
        *,
        exporters: Exporters,
        ledger: Ledger,
        ownership: Ownership,
        log: Diagnostics,
        new_thread: Callable[[str], SenderThread] = SenderThread,
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._spool = spool
        self.exporters = exporters
        self._ledger = ledger
        self._ownership = ownership
        self._log = log
        self._threads = {signal: new_thread(f"export of {signal}") for signal in SIGNALS}
        self._running: dict[str, _Export] = {}
        self._deadline: Deadline | None = None
        self._is_last = self._is_last_chance = False
        self._left: set[str] = set()
        """The signals of which something is left, because of a failure or after one."""
        self._slow_starts = {signal: SlowStart() for signal in SIGNALS}

    @property
    def is_over(self) -> bool:
        return not self._running

    @property
    def was_delivered(self) -> bool:
        """Whether the flush has delivered everything so far."""
        return not self._left

    def begin(self, deadline: Deadline, *, is_last: bool = False, is_last_chance: bool = False) -> None:
        """Start to send everything, or after a failure a part of it; *is_last_chance* as for `Exporters.send`.

        If it *is_last* of the process, no later one sends more: each request that succeeds is followed by another.
        """
        if self._deadline is None:
            self._limit_restored()
        self._deadline = deadline
        self._is_last = is_last
        self._is_last_chance = is_last_chance
        self._left.clear()
        self.send_more()

    def send_more(self) -> None:
        """Send what was added since, of each signal that is not being sent and has not failed."""
        for signal in SIGNALS:
            if signal not in self._running and signal not in self._left:
                self._send_next(signal)

    def sent(self, signal: str) -> None:
        """Account for the batch whose `SendFinished` was received, and send the next of *signal*."""
        if (export := self._running.pop(signal, None)) is None:
            return  # It was abandoned.
        slow_start = self._slow_starts[signal]
        is_limited = slow_start.is_limited and not (self._is_last or self._is_last_chance)
        if not self._settle(export):
            slow_start.failed()
            self._left.add(signal)
            return
        slow_start.succeeded()
        if not is_limited:
            self._send_next(signal)
        elif self._has_batches(signal):
            self._left.add(signal)

    def abandon(self) -> list[Batch]:
        """Stop waiting for running requests; return what is left of their batches, except what is on disk.

        A request that was answered counts, even if its `SendFinished` was not received. No other flush may follow.
        """
        exports, self._running = self._running, {}
        left = [self._account_for(export) for export in exports.values()]
        return [batch for batch in left if batch is not None]

    def _limit_restored(self) -> None:
        """Send what earlier processes have left on disk slowly: a whole fleet may have been restarted."""
        for signal in SIGNALS:
            if self._spool.oldest(signal):
                self._slow_starts[signal].failed()

    def _has_batches(self, signal: str) -> bool:
        return self._spool.oldest(signal) is not None or self._outbox.held_items(signal) > 0

    def _send_next(self, signal: str) -> None:
        """Start to send the next batch of *signal*, if there is one and time is left."""
        deadline = self._deadline
        assert deadline is not None
        if deadline.is_over():
            if self._outbox.held_items(signal):
                self._left.add(signal)
            return
        if (export := self._take(signal)) is None:
            return
        self._running[signal] = export
        batch, is_last_chance = export.batch, self._is_last_chance

        def task() -> None:
            try:
                export.result = self.exporters.send(batch, deadline, is_last_chance=is_last_chance)
            except Exception as exc:  # noqa: BLE001  # our own defect: if the batch were held, it would fail forever
                export.result = ExportResult(batch, dropped={f"failed with {type(exc).__name__}": batch.items})
            finally:
                self._inbox.put_event(SendFinished(signal))

        try:
            # A thread may take long to start.
            self._ownership.release(lambda: self._threads[signal].add(task))
        except ThreadStartError as exc:
            # One failed attempt: the batch is held.
            self._log.warn(f"{exc}; telemetry is held", once_a_minute="threads")
            self._inbox.put_event(SendFinished(signal))

    def _take(self, signal: str) -> "_Export | None":
        """Take what one request may contain, from disk and then from memory; None if there is nothing."""
        most_bytes = inf if self._is_last_chance else self._slow_starts[signal].most_bytes
        spooled: list[SpooledBatch] = []
        size = items = 0
        while file := self._spool.oldest(signal):
            sum_bytes, sum_items = size + file.size_bytes, items + file.items
            if spooled and not (sum_bytes <= most_bytes and self._outbox.fits(sum_bytes, sum_items)):
                break
            if (taken := self._spool.take(signal)) is None:
                break
            spooled.append(taken)
            size, items = size + len(taken.batch.body), items + taken.batch.items
        held = self._outbox.take(signal, already=(size, items), most_bytes=most_bytes)
        batches = [each.batch for each in spooled] + ([held] if held else [])
        return _Export(joined(batches), spooled, held) if batches else None

    def _settle(self, export: "_Export") -> bool:
        """Account for the result of *export*; return whether nothing of its batch is left to be sent."""
        if (left := self._account_for(export)) is not None:
            self._keep(left)
        return export.result.held is None

    def _account_for(self, export: "_Export") -> Batch | None:
        """Account for the result of *export*; return what is left of its batch, except what is on disk."""
        result = export.result
        if result.held is not None and result.held.items == export.batch.items:
            for each in reversed(export.spooled):
                self._spool.put_back(each)
            return export.held
        signal = result.batch.signal
        self._ledger.delivered(signal, result.delivered)
        self._ledger.rejected(signal, result.rejected)
        for reason, count in result.dropped.items():
            self._ledger.dropped(signal, count, reason)
        for each in export.spooled:
            # What is still held goes to memory: from disk, all would be sent again.
            self._spool.remove(each)
        return result.held

    def _keep(self, batch: Batch) -> None:
        """Put *batch* back into memory, or on disk if memory has filled up in the meantime."""
        left = [batch]
        if not self._outbox.has_room_for(batch) and self._deadline is not None:
            left = self._spool.write(left, self._deadline.not_before(SPOOL_RESERVE_S))
        self._outbox.put_back(left)


class _Export:
    """One batch that is being sent, its origin, and its result."""

    __slots__ = ("batch", "held", "result", "spooled")

    def __init__(self, batch: Batch, spooled: list[SpooledBatch], held: Batch | None) -> None:
        self.batch = batch
        self.spooled = spooled
        """The parts of it that are on disk, the oldest first."""
        self.held = held
        """The rest of it, which is in memory."""
        self.result = ExportResult(batch, held=batch)
