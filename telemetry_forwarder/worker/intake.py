"""Converts posts, new ones and those that an earlier process spooled, and puts the resulting batches into the store.

Every post is converted, spooled raw, or counted as a duplicate or as dropped. A spooled post is removed only after its
batches are on disk, so a process that is killed while replaying spooled posts loses none.
"""

from collections import deque
from collections.abc import Sequence

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool, SpooledBatch
from telemetry_forwarder.buffer.store import NOT_SPOOLED, SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import ConversionResult, Converter
from telemetry_forwarder.core.batch import POSTS, Batch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent
from telemetry_forwarder.worker.memory import MemoryTrimmer

# As much as the inbox holds by default: at SHUTDOWN it is emptied into the backlog.
_MAX_BACKLOG_BYTES = 16_777_216
# Measured with one-character lines, the slowest case per byte; typical lines take a quarter.
_CONVERSION_CPU_S_PER_BYTE = 0.12 / 1_000_000
_TYPICAL_SHARE = 0.25
# Twice what was measured.
_SPOOLING_CPU_S_PER_BYTE = 0.002 / 1_000_000
# Time reserved at the end of SHUTDOWN for sending what was converted, and for steps that cannot be interrupted.
_SENDING_S = 0.4
_NOTHING = ConversionResult()


class Intake:
    """All steps between the inbox and the store. For the worker's thread, except `shut_down`."""

    def __init__(
        self,
        converter: Converter,
        store: Store,
        spool: Spool,
        *,
        duplicates: DuplicatePosts | None,
        ledger: Ledger,
        clock: Clock,
        log: Diagnostics,
        cpu_share: float,
    ) -> None:
        """Without *duplicates* every post is a new one. *cpu_share* is that of the environment after init."""
        self._converter = converter
        self._store = store
        self._spool = spool
        self._duplicates = duplicates
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._cpu_share = cpu_share
        self._backlog: deque[Body] = deque()
        self._backlog_bytes = 0
        self._has_spooled_posts = False
        self._is_last_chance = False
        self._convert_until: Deadline | None = None
        self.memory = MemoryTrimmer()

    @property
    def has_pending_events(self) -> bool:
        """Whether spans and metrics wait for `collect`."""
        return self._converter.has_pending

    @property
    def has_open_phase(self) -> bool:
        """Whether an init or a restore has begun whose report is expected."""
        return self._converter.has_open_phase

    @property
    def has_backlog(self) -> bool:
        """Whether posts of this process are pending."""
        return bool(self._backlog)

    @property
    def has_replay(self) -> bool:
        """Whether a spooled post may be replayed now: after SHUTDOWN, only if no other process will do it."""
        return self._has_spooled_posts and (self._convert_until is None or self._is_last_chance)

    @property
    def has_work(self) -> bool:
        """Whether a post may be converted now."""
        return self.has_backlog or self.has_replay

    @property
    def is_shutting_down(self) -> bool:
        return self._convert_until is not None

    def restore(self) -> None:
        """Look for posts that an earlier process spooled."""
        self._spool.restore()
        self._has_spooled_posts = self._spool.waiting_posts > 0

    def shut_down(self, event: ShutdownEvent) -> None:
        """Convert only what can be done well before the deadline of *event*. The first call counts. For any thread."""
        if self._convert_until is None:
            self._is_last_chance = event.ends_environment
            # Lambda may leave less than the reserve, and most posts take milliseconds.
            reserve_s = min(SPOOL_RESERVE_S + _SENDING_S, event.deadline.left_s() / 2)
            self._convert_until = event.deadline.less(reserve_s)

    def convert(self, body: Body) -> ConversionResult:
        """Convert *body*, or spool it raw if too little time is left."""
        # The parts of a cut record have the same time, and may have the same bytes: "xxxx" and "xxxx".
        may_be_part = self._converter.awaits_rest
        if self._duplicates is not None and not self._duplicates.is_new(body.content) and not may_be_part:
            self._ledger.duplicate_posts += 1
            return _NOTHING
        size_bytes = len(body.content)
        if not self._has_time_for(size_bytes):
            self._spool_raw(body, self._store.write_deadline())
            return _NOTHING
        try:
            result = self._converter.convert(body.content, body.observed_ns)
        except Exception as exc:  # noqa: BLE001  # a defect costs this post, and not all that follow
            self._ledger.post_conversion_failed()
            self._log.warn(f"the rest of a post was dropped: {type(exc).__name__}: {exc}", once_a_minute="convert")
            return _NOTHING
        self._store.put(result.batches)
        self._clock.slow_by_ns = max(0, -self._converter.lag_ns)
        self.memory.used(size_bytes)
        return result

    def postpone(self, body: Body) -> None:
        """Append *body* to the backlog; spool it at once if the backlog is full."""
        if self._backlog_bytes + len(body.content) > _MAX_BACKLOG_BYTES:
            self._spool_raw(body, self._store.write_deadline())
        else:
            self._backlog.append(body)
            self._backlog_bytes += len(body.content)

    def take_postponed(self) -> Body:
        """Remove and return the oldest post of the backlog."""
        body = self._backlog.popleft()
        self._backlog_bytes -= len(body.content)
        return body

    def spool_backlog(self, deadline: Deadline) -> None:
        """Spool the backlog raw, which takes a hundredth of the time to convert it."""
        while self._backlog:
            self._spool_raw(self.take_postponed(), deadline)

    def replay_next(self) -> None:
        """Convert the oldest post that an earlier process spooled, if there is time for it. The others wait for it."""
        entry = self._spool.take(POSTS)
        if entry is not None and not self._has_time_for(len(entry.batch.body)):
            self._spool.put_back(entry)
            entry = None
        # A file that cannot be read now is left to the next process.
        self._has_spooled_posts = entry is not None and self._spool.waiting_posts > 0
        if entry is None:
            return
        batches = self._convert_spooled(entry)
        # At the last chance the disk is about to be deleted.
        if self._is_last_chance or not self._spool.has_room_for(batches):
            self._store.put(batches)
        else:
            for batch in batches:
                self._ledger.received(batch.signal, batch.items)
            self._store.put_back(batches, self._store.write_deadline())
        self._spool.remove(entry)
        self.memory.used(len(entry.batch.body))

    def invoked(self, event: InvokeEvent) -> bool:
        """Record an INVOKE event; return whether the end of the invocation has already arrived."""
        return self._converter.invoked(event.request_id, event.arn, event.trace_header, self._clock.unix_ns())

    def collect(self, measurements: Sequence[Measurement] = ()) -> None:
        """Put the pending spans and metrics, and *measurements*, into the store."""
        self._store.put(self._converter.collect(self._clock.unix_ns(), measurements))

    def finish(self, reason: str) -> None:
        """End what is still open because of a SHUTDOWN for *reason*."""
        self._converter.finish(reason, self._clock.unix_ns())

    def _has_time_for(self, size_bytes: int) -> bool:
        """Return whether that much can be converted before the end; at the last chance, whether typical lines can.

        What is not converted then is lost, so a post that would only in the worst case take too long is converted.
        """
        if self._convert_until is None:
            return True
        share = _TYPICAL_SHARE if self._is_last_chance else 1.0
        cpu_s = size_bytes * _CONVERSION_CPU_S_PER_BYTE * share + self._backlog_bytes * _SPOOLING_CPU_S_PER_BYTE
        return self._convert_until.left_s() > cpu_s / self._cpu_share

    def _convert_spooled(self, entry: SpooledBatch) -> list[Batch]:
        try:
            batches = self._converter.convert_spooled(entry.batch.body, entry.file.ordinal)
        except Exception as exc:  # noqa: BLE001  # a defect must not fail again in every later process
            self._ledger.dropped(POSTS, 1, f"failed with {type(exc).__name__}")
            return []
        self._ledger.delivered(POSTS, 1)
        return batches

    def _spool_raw(self, body: Body, deadline: Deadline) -> None:
        """Spool *body*, or count it as dropped if there is no room on disk or no time."""
        self._ledger.received(POSTS, 1)
        for batch in self._spool.write([Batch(POSTS, body.content, 1)], deadline):
            self._ledger.dropped(batch.signal, batch.items, NOT_SPOOLED)
