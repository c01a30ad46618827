"""Decides when to flush and how long `next` is withheld. No I/O: events and observations in, a `Step` out.

Only withholding `next` keeps the sandbox from freezing, and the user pays for that time. So it is withheld for
the telemetry of one invocation at its end, or for a running flush, and never longer than the budget.
"""

from enum import Enum
from math import inf

from telemetry_forwarder.clock import Clock, Deadline, Moment
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.flushing.drain import Drain
from telemetry_forwarder.flushing.flush_tracker import FlushTracker
from telemetry_forwarder.flushing.hold import Hold
from telemetry_forwarder.flushing.invocation_rate import InvocationRate
from telemetry_forwarder.flushing.running_requests import RunningRequests
from telemetry_forwarder.flushing.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The time limit of a flush. It outlasts the budget: a flush that is cut short is sent twice.
_FLUSH_LIMIT_S = 10.0
# If less than this share of the budget is left, no flush is begun for an invocation to wait for.
_MIN_BUDGET_SHARE = 0.1


class Mode(Enum):
    AUTO = "auto"
    END = "end"
    EVERY = "every"
    SHUTDOWN = "shutdown"


@frozen
class FlushSettings:
    mode: Mode
    interval_s: float
    """How long telemetry is held at most while an invocation runs."""
    budget_s: float
    """How long an invocation waits for a slow endpoint at most; zero turns waiting off."""
    spool_reserve_s: float
    """Time reserved at the end of SHUTDOWN for writing to disk, at the CPU share of 128 MB."""


class FlushPolicy:
    """Used by the worker's thread alone. Report each event with its method, then call `step`."""

    def __init__(
        self,
        settings: FlushSettings,
        clock: Clock,
        *,
        has_runtime_done: bool,
        is_managed: bool = False,
        random: "Callable[[], float]" = lambda: 1.0,
    ) -> None:
        """*has_runtime_done*: the subscription includes platform events. *is_managed*: invocations run concurrently.

        *random* returns a number from 0 to 1. It shortens the first interval, so that environments that were started
        at the same moment do not send at the same moments.
        """
        self._settings = settings
        self._clock = clock
        self._has_runtime_done = has_runtime_done
        self._is_managed = is_managed
        self._has_budget = settings.budget_s > 0 and settings.mode is not Mode.SHUTDOWN
        self._rate = InvocationRate()
        self._requests = RunningRequests()
        self._flushes = FlushTracker()
        self._hold = Hold(Moment(clock), None, flushes_at_end=False, budget=None)
        """The hold of the latest invocation."""
        self._has_missed_end = False
        """Whether no end event arrived for the last invocation that waited for one."""
        self._unsent_since: Moment | None = None
        self._random = random
        self._interval_s: float | None = None
        """The time between two flushes; None until the first is planned: a snapshot may be taken before that."""
        self._drain: Drain | None = None

    def telemetry_unavailable(self) -> None:
        """Lambda refused the subscription: no event will report the end of an invocation."""
        self._has_runtime_done = False

    def invoked(self, request_id: str, limit: Deadline) -> None:
        """INVOKE arrived: `next` is withheld until a step releases it, at *limit* at the latest."""
        now = Moment(self._clock)
        self._rate.invoked(now)
        self._requests.invoked(request_id)
        is_rare = self._settings.mode is Mode.AUTO and not self._rate.is_busy
        flushes_at_end = not self._has_missed_end and (is_rare or self._settings.mode is Mode.END)
        self._hold = Hold(
            now,
            limit,
            flushes_at_end=flushes_at_end,
            budget=None if flushes_at_end and self._requests.is_running else self._budget(),
        )

    def runtime_done(self, request_id: str, observed_ns: int) -> None:
        """platform.runtimeDone arrived at *observed_ns*: the budget counts from then, not from now."""
        self._has_missed_end = False
        self._requests.runtime_done(request_id)
        self._note_end(ago_s=max(0.0, (self._clock.unix_ns() - observed_ns) / 1_000_000_000))

    def reported(self, request_id: str) -> None:
        """platform.report arrived. It also ends an invocation whose platform.runtimeDone was lost."""
        self._requests.reported(request_id)
        self._note_end(ago_s=0.0)

    def flushed(self, *, was_delivered: bool) -> None:
        """The flush that a step began has finished."""
        self._flushes.finished(Moment(self._clock), was_delivered=was_delivered)

    def shutting_down(self, deadline: Deadline) -> None:
        """SHUTDOWN arrived: from now on the steps drain."""
        self._drain = Drain(deadline, spool_reserve_s=self._settings.spool_reserve_s)

    def step(
        self,
        *,
        has_unsent: bool,
        is_nearly_full: bool,
        is_circuit_open: bool,
        has_open_phase: bool = False,
        has_backlog: bool = False,
    ) -> Step:
        """Return what to do now.

        *has_unsent*: there is telemetry to send, in memory or on disk. *is_nearly_full*: the outbox needs room soon.
        *is_circuit_open*: the circuit breakers of all endpoints are open. *has_open_phase*: the report of an init is
        expected. *has_backlog*: posts are pending.
        """
        now = Moment(self._clock)
        self._unsent_since = (self._unsent_since or now) if has_unsent else None
        if self._drain:
            awaits_report = self._awaits_report() or has_open_phase
            return self._drain.step(
                self._flushes, has_unsent=has_unsent, awaits_report=awaits_report, has_backlog=has_backlog
            )
        self._check_limits(now)
        may_withhold = not is_circuit_open and self._may_withhold(now)
        can_flush = self._unsent_since is not None and not self._flushes.deadline
        makes_room = is_nearly_full and not is_circuit_open
        due_in_s = self._flush_due_in_s(now, may_withhold=may_withhold, makes_room=makes_room) if can_flush else inf
        flush = None
        if can_flush and ((may_withhold and self._claim_end_flush(now)) or due_in_s <= 0):
            flush = Deadline.after(_FLUSH_LIMIT_S, self._clock)
            self._flushes.deadline = flush
            self._interval_s = self._settings.interval_s
        self._release_unless_needed(now, may_withhold=may_withhold)
        return Step(
            may_call_next=not self._hold.limit,
            flush=flush,
            wake_in_s=self._wake_in_s(now, inf if flush else due_in_s),
            should_spool=is_circuit_open and is_nearly_full,
        )

    def _note_end(self, *, ago_s: float) -> None:
        if not self._hold.budget and not self._requests.is_running:
            self._hold.budget = self._budget().less(ago_s)

    def _budget(self) -> Deadline:
        return Deadline.after(self._settings.budget_s, self._clock)

    def _check_limits(self, now: Moment) -> None:
        """Release `next` at the invocation's limit, and remember a flush that overran the budget.

        An end that never comes costs one invocation all of its time; none waits again until an end is seen.
        """
        hold = self._hold
        if not hold.limit:
            return
        if hold.limit.is_over(now.monotonic_s):
            hold.limit = None
            self._has_missed_end |= not hold.budget
        elif hold.is_past_budget(now) and self._flushes.is_within_deadline(now):
            self._flushes.overran_at = now

    def _may_withhold(self, now: Moment) -> bool:
        """Return whether `next` may be withheld for telemetry or a flush at all."""
        can_know_end = self._has_runtime_done and not self._is_managed
        return can_know_end and self._has_budget and not self._flushes.is_slow(now)

    def _release_unless_needed(self, now: Moment, *, may_withhold: bool) -> None:
        """Release `next` unless it waits for the end of the invocation or for a flush within the budget."""
        hold = self._hold
        if not hold.limit:
            return
        awaits_flush = self._flushes.is_within_deadline(now) and not hold.is_past_budget(now)
        if not may_withhold or (hold.budget and not awaits_flush):
            hold.limit = None

    def _claim_end_flush(self, now: Moment) -> bool:
        """Return whether to flush for an invocation that ended, once, if enough time is left to wait for it."""
        hold = self._hold
        if not hold.flushes_at_end or hold.has_flushed_end:
            return False
        hold.has_flushed_end = hold.flush_wait_s(now) >= self._settings.budget_s * _MIN_BUDGET_SHARE
        return hold.has_flushed_end

    def _flush_due_in_s(self, now: Moment, *, may_withhold: bool, makes_room: bool) -> float:
        """Return the seconds until a flush that no invocation waits for is due; infinity if none is."""
        if not (self._is_managed or self._requests.is_running):
            # The sandbox is about to freeze.
            return inf
        is_timed = self._settings.mode is not Mode.SHUTDOWN
        due_in_s = self._interval_left_s(now, may_withhold=may_withhold) if is_timed else inf
        return min(due_in_s, self._flushes.retry_in_s(now)) if makes_room else due_in_s

    def _interval_left_s(self, now: Moment, *, may_withhold: bool) -> float:
        starts = [self._unsent_since, self._flushes.finished_at]
        if may_withhold and self._hold.flushes_at_end:
            # What an earlier invocation left is flushed at the end of this one.
            starts.append(self._hold.invoked_at)
        if self._interval_s is None:
            self._interval_s = self._settings.interval_s * self._random()
        return self._interval_s - min([now.since_s(start) for start in starts if start])

    def _wake_in_s(self, now: Moment, due_in_s: float) -> float | None:
        hold = self._hold
        wake_in_s = due_in_s if due_in_s > 0 else inf
        for deadline in (hold.limit, hold.budget, self._flushes.deadline) if hold.limit else ():
            if deadline and 0 < (left_s := deadline.left_s(now.monotonic_s)) < wake_in_s:
                wake_in_s = left_s
        return wake_in_s if wake_in_s < inf else None

    def _awaits_report(self) -> bool:
        return self._has_runtime_done and (self._is_managed or not self._requests.has_report)
