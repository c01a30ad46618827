"""Converts posts, new ones and those that an earlier process spooled, and puts the resulting batches into the store.

Every post is converted, spooled raw, or counted as a duplicate or as dropped. A post of an earlier process is removed
only after its batches are on disk, so a process that is killed while replaying those loses none.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.store import Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent
from telemetry_forwarder.telemetry.decoder import SLICE_BYTES
from telemetry_forwarder.worker.availability_zone import AvailabilityZone
from telemetry_forwarder.worker.conversion_time import ConversionTime
from telemetry_forwarder.worker.memory import MemoryTrimmer
from telemetry_forwarder.worker.replay import Replay

# As much as the inbox holds by default.
_MAX_BACKLOG_BYTES = 16_777_216
# Small posts: opening the folder for each of them would take half of the time.
_SPOOLED_AT_ONCE = 32


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
        zone: AvailabilityZone,
    ) -> None:
        """Without *duplicates* every post is a new one. *cpu_share* is that of the environment after init."""
        self._converter = converter
        self._store = store
        self._duplicates = duplicates
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._time = ConversionTime(clock, cpu_share=cpu_share)
        self._zone = zone
        self._replay = Replay(converter, store, spool, ledger=ledger)
        self._backlog: deque[Body] = deque()
        self._backlog_bytes = 0
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
    def may_convert_backlog(self) -> bool:
        """Whether there is time to convert the oldest post of the backlog, or a slice of it."""
        return self.has_backlog and self._time.is_enough_for(self._backlog[0].left_bytes, self._backlog_bytes)

    @property
    def has_replay(self) -> bool:
        """Whether a spooled post may be replayed now: after SHUTDOWN, only if no other process will do it."""
        return self._replay.has_posts and (not self._time.is_shutting_down or self._time.is_last_chance)

    @property
    def has_work(self) -> bool:
        """Whether a post may be converted, as far as `wait_s` allows it."""
        return self.has_backlog or self.has_replay

    @property
    def is_shutting_down(self) -> bool:
        return self._time.is_shutting_down

    def wait_s(self) -> float:
        """Return the seconds until something may be converted; zero if it may now."""
        return self._time.wait_s()

    def restore(self) -> None:
        """Look for posts that an earlier process spooled."""
        self._replay.restore()

    def shut_down(self, event: ShutdownEvent) -> None:
        """Convert only what can be done well before the deadline of *event*. The first call counts. For any thread."""
        self._time.shut_down(event)

    def convert(self, body: Body) -> ConversionResult:
        """Convert a slice of *body* and put the rest back, or spool it raw if too little time is left."""
        if not body.at and self._is_duplicate(body):
            self._ledger.duplicate_posts += 1
            return ConversionResult(len(body.content))
        if not self._time.is_enough_for(body.left_bytes, self._backlog_bytes):
            bodies = [body]
            while self._backlog and len(bodies) < _SPOOLED_AT_ONCE and self._backlog[0].left_bytes < SLICE_BYTES:
                bodies.append(self.take_postponed())
            self._replay.spool(bodies, self._store.write_deadline())
            return ConversionResult(len(body.content))
        if zone_id := self._zone.take():
            self._converter.locate(zone_id)
        before_s = self._clock.thread_cpu_s()
        try:
            result = self._converter.convert(body.content, body.observed_ns, body.at)
        except Exception as exc:  # noqa: BLE001  # a defect costs this post, and not all that follow
            self._ledger.post_conversion_failed()
            self._log.warn(f"the rest of a post was dropped: {type(exc).__name__}: {exc}", once_a_minute="convert")
            return ConversionResult(len(body.content))
        self._store.put(result.batches)
        self._clock.slow_by_ns = max(0, -self._converter.lag_ns)
        self._note_use(result.next_at - body.at, before_s)
        body.at = result.next_at
        if body.left_bytes:
            self._backlog.appendleft(body)
            self._backlog_bytes += body.left_bytes
        return result

    def convert_next(self, limit_bytes: int, *, may_replay: bool) -> Iterator[ConversionResult]:
        """Convert the oldest posts, *limit_bytes* together, or a slice of the oldest if it is larger.

        If no post is pending and *may_replay*, convert a slice of a spooled one.
        """
        if not self._backlog and may_replay:
            yield self.replay_next()
        while limit_bytes > 0 and self._backlog:
            body = self.take_postponed()
            limit_bytes -= body.left_bytes
            yield self.convert(body)

    def postpone(self, body: Body, *, to_end: bool = False) -> None:
        """Append *body* to the backlog; spool it at once if the backlog is full, or if older posts are spooled.

        *to_end*: append it anyway, to be spooled together with all others.
        """
        if not to_end and (self._backlog_bytes + body.left_bytes > _MAX_BACKLOG_BYTES or self._replay.has_own):
            self._replay.spool([body], self._store.write_deadline())
            self._replay.has_posts |= self._replay.has_own
        else:
            self._backlog.append(body)
            self._backlog_bytes += body.left_bytes

    def take_postponed(self) -> Body:
        """Remove and return the oldest post of the backlog, or its rest."""
        body = self._backlog.popleft()
        self._backlog_bytes -= body.left_bytes
        return body

    def spool_backlog(self, deadline: Deadline, newer: Iterable[Body] = ()) -> None:
        """Spool the backlog raw, and *newer* posts after it. That takes a hundredth of the time to convert them."""
        self._replay.stop(deadline)
        bodies = [*self._backlog, *newer]
        self._backlog.clear()
        self._backlog_bytes = 0
        self._replay.spool(bodies, deadline)

    def replay_next(self) -> ConversionResult:
        """Convert a slice of the oldest spooled post, if there is time for it. The others wait for it."""
        body = self._replay.next_body()
        if body is None:
            return ConversionResult(0)
        deadline = self._store.write_deadline()
        if not self._time.is_enough_for(body.left_bytes, self._backlog_bytes):
            self._replay.stop(deadline)
            return ConversionResult(0)
        before_s, at = self._clock.thread_cpu_s(), body.at
        result = self._replay.convert(deadline, is_last_chance=self._time.is_last_chance)
        self._note_use(result.next_at - at, before_s)
        return result

    def invoked(self, event: InvokeEvent) -> bool:
        """Record an INVOKE event; return whether the end of the invocation has already arrived."""
        self._time.invoked(event)
        self._zone.invoked()
        return self._converter.invoked(event.request_id, event.arn, event.trace_header, self._clock.unix_ns())

    def collect(self, measurements: Sequence[Measurement] = ()) -> None:
        """Put the pending spans and metrics, and *measurements*, into the store."""
        self._store.put(self._converter.collect(self._clock.unix_ns(), measurements))

    def finish(self, reason: str) -> None:
        """End what is still open because of a SHUTDOWN for *reason*."""
        self._converter.finish(reason, self._clock.unix_ns())

    def _is_duplicate(self, body: Body) -> bool:
        # The parts of a cut record have the same time, and may have the same bytes: "xxxx" and "xxxx".
        may_be_part = self._converter.awaits_rest
        return self._duplicates is not None and not self._duplicates.is_new(body.content) and not may_be_part

    def _note_use(self, size_bytes: int, before_s: float) -> None:
        """Count a conversion that began when the thread's CPU time was *before_s*."""
        self.memory.used(size_bytes)
        self._time.used(self._clock.thread_cpu_s() - before_s)
