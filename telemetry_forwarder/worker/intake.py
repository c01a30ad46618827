"""Converts posts, new ones and those that an earlier process spooled, and puts the resulting batches into the store.

Every post is converted, spooled raw, or counted as a duplicate or as dropped. A post of an earlier process is removed
only after its batches are on disk, so a process that is killed while replaying those loses none.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.store import Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.memory import MemoryTrimmer
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, Item, ShutdownEvent
from telemetry_forwarder.telemetry.json_values import is_json
from telemetry_forwarder.worker.availability_zone import AvailabilityZone
from telemetry_forwarder.worker.conversion_time import ConversionTime
from telemetry_forwarder.worker.replay import Replay
from telemetry_forwarder.worker.shared_converter import SharedConverter

# As much as the inbox holds by default.
_MAX_BACKLOG_BYTES = 16_777_216
_NOTHING = ConversionResult(0)


class Intake:
    """All steps between the inbox and the store. For the thread that has the ownership, except `shut_down`.

    A post stays in the backlog until its conversion has ended and the result is in the store.
    """

    def __init__(
        self,
        conversion: SharedConverter,
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
        self._conversion = conversion
        self._converter = conversion.converter
        self._store = store
        self._duplicates = duplicates
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._time = ConversionTime(clock, cpu_share=cpu_share)
        self._zone = zone
        self._replay = Replay(self._conversion, store, spool, ledger=ledger)
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
        """Whether a post may be converted or spooled before the end, as far as `wait_s` allows it."""
        return (self.has_backlog or self.has_replay) and not self._time.is_over

    @property
    def pending_posts(self) -> int:
        """The number of posts in the backlog."""
        return len(self._backlog)

    def wait_s(self) -> float:
        """Return the seconds until something may be converted; zero if it may now."""
        return self._time.wait_s()

    def restore(self) -> None:
        """Look for posts that an earlier process spooled."""
        self._replay.restore()

    def shut_down(self, event: ShutdownEvent) -> None:
        """Convert only what can be done well before the deadline of *event*. The first call counts. For any thread."""
        self._time.shut_down(event)

    def convert_next(self, limit_bytes: int, *, may_replay: bool) -> Iterator[ConversionResult]:
        """Convert the oldest posts, *limit_bytes* together, or a slice of the oldest if it is larger.

        A post that there is too little time for is spooled raw. If no post is pending and *may_replay*, convert a
        slice of a spooled one.
        """
        if not self._backlog and may_replay:
            yield self.replay_next()
        while limit_bytes > 0 and self._backlog:
            limit_bytes -= self._backlog[0].left_bytes
            yield self._convert_oldest()

    def _convert_oldest(self) -> ConversionResult:
        body = self._backlog[0]
        is_enough = self._time.is_enough_for(body.left_bytes, self._backlog_bytes - body.left_bytes)
        if not is_enough and self._store.write_deadline().is_over():
            # It is left to the end of SHUTDOWN.
            return _NOTHING
        if not is_enough:
            # Whether it was received twice is found when it is converted.
            self._backlog_bytes -= self._replay.spool_oldest(self._backlog, self._store.write_deadline())
            return _NOTHING
        if not body.at and self._is_duplicate(body):
            self._ledger.duplicate_posts += 1
            self._take_oldest()
            return _NOTHING
        if zone_id := self._zone.take():
            self._converter.locate(zone_id)
        before_s = self._clock.thread_cpu_s()
        try:
            result = self._conversion.convert(body)
        except Exception as exc:  # noqa: BLE001  # a defect costs this post, and not all that follow
            self._take_oldest()
            self._ledger.post_conversion_failed()
            self._log.warn(f"the rest of a post was dropped: {type(exc).__name__}: {exc}", once_a_minute="convert")
            return _NOTHING
        self._store.put(result.batches)
        self._clock.slow_by_ns = max(0, -self._converter.lag_ns)
        self._note_use(result.next_at - body.at, before_s)
        self._backlog_bytes -= result.next_at - body.at
        body.at = result.next_at
        if not body.left_bytes:
            self._backlog.popleft()
        return result

    def postpone(self, bodies: Iterable[Body]) -> None:
        """Append *bodies* to the backlog; spool those beyond its room, and all if older posts are spooled.

        At the end of SHUTDOWN, append them anyway, to be spooled together with all others.
        """
        excess = deque[Body]()
        for body in bodies:
            is_too_much = self._backlog_bytes + body.left_bytes > _MAX_BACKLOG_BYTES or self._replay.has_own
            if (is_too_much or excess) and not self._time.is_over:
                excess.append(body)
            else:
                self._backlog.append(body)
                self._backlog_bytes += body.left_bytes
        try:
            while excess:
                self._replay.spool_oldest(excess, self._store.write_deadline())
                self._replay.has_posts |= self._replay.has_own
        finally:
            # Without memory for a copy, they are still held.
            self._backlog.extend(excess)
            self._backlog_bytes += sum(body.left_bytes for body in excess)

    def _take_oldest(self) -> Body:
        body = self._backlog.popleft()
        self._backlog_bytes -= body.left_bytes
        return body

    def spool_backlog(self, deadline: Deadline, newer: Iterable[Item] = (), *, between: Callable[[], None]) -> None:
        """Spool the backlog raw, then the posts among *newer*: that takes a hundredth of the time to convert them.

        After each part *between* is called; if it raises, the rest stays in the backlog.
        """
        self._backlog.extend(item for item in newer if isinstance(item, Body))
        self._backlog_bytes = sum(body.left_bytes for body in self._backlog)
        self._replay.stop(deadline)
        while self._backlog:
            self._backlog_bytes -= self._replay.spool_oldest(self._backlog, deadline)
            between()

    def replay_next(self) -> ConversionResult:
        """Convert a slice of the oldest spooled post, if there is time for it. The others wait for it."""
        body = self._replay.next_body()
        if body is None:
            return _NOTHING
        deadline = self._store.write_deadline()
        if not self._time.is_enough_for(body.left_bytes, self._backlog_bytes):
            self._replay.stop(deadline)
            return _NOTHING
        # Parts of a cut record may be equal, and are no JSON.
        if not body.at and self._is_duplicate(body) and is_json(body.content):
            self._ledger.duplicate_posts += 1
            self._replay.skip(deadline)
            return _NOTHING
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
        self._store.put(self._conversion.collect(self._clock.unix_ns(), measurements))

    def finish(self, reason: str) -> None:
        """End what is still open because of a SHUTDOWN for *reason*."""
        self._conversion.finish(reason, self._clock.unix_ns())

    def end(self, reason: str | None) -> None:
        """Put all that is pending into the store; a SHUTDOWN for *reason* ends what is open. Does not raise."""
        if self._conversion.is_in_use:
            self._log.warn("the end came during a conversion: spans and metrics that were not made yet are lost")
            return
        try:
            if reason is not None:
                self.finish(reason)
            self.collect()
        except Exception as exc:  # noqa: BLE001  # after a defect the state may be inconsistent
            self._log.warn(f"spans and metrics that were not made yet are lost: {type(exc).__name__}: {exc}")

    def _is_duplicate(self, body: Body) -> bool:
        # The parts of a cut record have the same time, and may have the same bytes: "xxxx" and "xxxx".
        may_be_part = self._converter.awaits_rest
        return self._duplicates is not None and not self._duplicates.is_new(body.content) and not may_be_part

    def _note_use(self, size_bytes: int, before_s: float) -> None:
        """Count a conversion that began when the thread's CPU time was *before_s*."""
        self.memory.used(size_bytes)
        self._time.used(self._clock.thread_cpu_s() - before_s)
