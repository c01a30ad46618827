"""When to flush, and what `next` has to wait for. Pure, behind a clock: it is told things and asked for a `Step`.

Holding `next` is the only way to keep the sandbox from freezing, and the user pays for it. So it is done for
one invocation's telemetry at its end, or for a flush that is under way, and never for longer than the budget.
"""

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.flushing.decisions import FlushSettings, Mode, Step
from telemetry_forwarder.flushing.invocation_rate import InvocationRate, Moment
from telemetry_forwarder.flushing.running_requests import RunningRequests

_RETRY_S = 1.0
# Less of the budget than this is not worth holding anybody for.
_WORTH_TRYING = 0.1
# After a flush took longer than the budget, nobody waits for one for a while: it would be so each time.
_SLOW_S = 30.0
# So long after its deadline a flush that is under way may still say how it went.
_LAST_WORD_S = 0.1


class FlushPolicy:
    """Only the worker uses it: tell it everything that happened, then ask for a step."""

    def __init__(
        self, settings: FlushSettings, clock: Clock, *, has_runtime_done: bool, is_managed: bool = False
    ) -> None:
        """*has_runtime_done*: whether the subscription was taken and includes platform events."""
        self._settings = settings
        self._clock = clock
        self._has_runtime_done = has_runtime_done
        self._is_managed = is_managed
        self._wants_to_wait = settings.budget_s > 0 and settings.mode is not Mode.SHUTDOWN
        self._may_wait = False
        """Whether anybody is to wait for telemetry, as the step under way has found."""
        self._cadence = InvocationRate(clock)
        self._requests = RunningRequests()
        self._invoked_at: Moment | None = None
        self._hold_until: Deadline | None = None
        self._waits_for_end = False
        self._budget: Deadline | None = None
        """From when on `next` waits for a flush at most: the end of the invocation, or its begin."""
        self._has_flushed_end = False
        self._held_since: Moment | None = None
        self._is_nearly_full = False
        self._is_circuit_open = False
        self._under_way: Deadline | None = None
        self._last_flush: Moment | None = None
        self._was_delivered = True
        self._has_missed_an_end = False
        self._overran: Moment | None = None
        self._drain_until: Deadline | None = None
        self._report_until: Deadline | None = None
        self._last_word_until = Deadline.after(0.0, clock)
        self._drains = 0

    def telemetry_unavailable(self) -> None:
        """The subscription was not taken: nothing will ever say that an invocation is over."""
        self._has_runtime_done = False

    def invoked(self, request_id: str, deadline: Deadline) -> None:
        """INVOKE came. `next` is held from now on, until a step lets go."""
        self._cadence.invoked()
        self._requests.invoked(request_id)
        self._invoked_at = Moment.now(self._clock)
        self._hold_until = deadline.less(self._settings.release_margin_s)
        self._waits_for_end = self._is_end_awaited()
        self._has_flushed_end = False
        is_open = self._waits_for_end and self._requests.is_running
        self._budget = None if is_open else self._whole_budget()

    def runtime_done(self, request_id: str, observed_ns: int) -> None:
        """platform.runtimeDone. The budget counts from when it came, not from when we got round to it."""
        self._has_missed_an_end = False
        self._requests.runtime_done(request_id)
        self._end(ago_s=max(0.0, (self._clock.unix_ns() - observed_ns) / 1_000_000_000))

    def reported(self, request_id: str) -> None:
        """platform.report. It also ends an invocation whose runtimeDone went lost."""
        self._requests.reported(request_id)
        self._end(ago_s=0.0)

    def observed(self, *, held_bytes: int, is_nearly_full: bool, is_circuit_open: bool) -> None:
        """The outbox and the circuit as they are now. To be told before each step."""
        if not held_bytes:
            self._held_since = None
        elif not self._held_since:
            self._held_since = Moment.now(self._clock)
        self._is_nearly_full = is_nearly_full
        self._is_circuit_open = is_circuit_open

    def flushed(self, *, was_delivered: bool) -> None:
        """The flush that was ordered is over, one way or the other."""
        self._under_way = None
        self._last_flush = Moment.now(self._clock)
        self._was_delivered = was_delivered

    def shutting_down(self, deadline: Deadline) -> None:
        self._drain_until = deadline.less(self._settings.spool_reserve_s)
        self._report_until = self._drain_until.within(self._settings.report_wait_s)
        self._last_word_until = deadline.less(self._settings.spool_reserve_s - _LAST_WORD_S)

    def step(self) -> Step:
        if self._drain_until and self._report_until:
            return self._drain(self._drain_until, self._report_until)
        now = Moment.now(self._clock)
        self._let_go_at_the_margin(now)
        self._note_overrun(now)
        self._may_wait = self._has_what_to_wait_for(now)
        flush = None if self._under_way else self._order(now)
        self._under_way = self._under_way or flush
        if not self._is_waiting(now):
            self._hold_until = None
        return Step(
            may_call_next=self._hold_until is None,
            flush=flush,
            wake_in_s=self._wake_in_s(now),
            should_spool=self._is_circuit_open and self._is_nearly_full,
        )

    def _end(self, *, ago_s: float) -> None:
        if not self._budget and not self._requests.is_running:
            self._budget = self._whole_budget().less(ago_s)

    def _whole_budget(self) -> Deadline:
        return Deadline.after(self._settings.budget_s, self._clock)

    def _has_what_to_wait_for(self, now: Moment) -> bool:
        """Whether anybody is to wait for telemetry at all."""
        can_know = self._has_runtime_done and not self._is_managed
        return can_know and self._wants_to_wait and not (self._is_circuit_open or self._is_slow(now))

    def _is_slow(self, now: Moment) -> bool:
        return self._overran is not None and now.since_s(self._overran) < _SLOW_S

    def _is_end_awaited(self) -> bool:
        if self._has_missed_an_end:
            return False
        is_rare = self._settings.mode is Mode.AUTO and not self._cadence.is_busy
        return is_rare or self._settings.mode is Mode.END

    def _let_go_at_the_margin(self, now: Moment) -> None:
        """An end that never comes costs one invocation its whole time; none waits again until one is seen."""
        if self._hold_until and self._hold_until.is_over(now.monotonic_s):
            self._hold_until = None
            self._has_missed_an_end |= not self._budget

    def _note_overrun(self, now: Moment) -> None:
        is_over = self._budget is not None and self._budget.is_over(now.monotonic_s)
        if is_over and self._hold_until and self._is_under_way(now):
            self._overran = now

    def _is_waiting(self, now: Moment) -> bool:
        if not (self._hold_until and self._may_wait):
            return False
        if not self._budget:
            return True
        return self._is_under_way(now) and not self._budget.is_over(now.monotonic_s)

    def _is_under_way(self, now: Moment) -> bool:
        return self._under_way is not None and not self._under_way.is_over(now.monotonic_s)

    def _order(self, now: Moment) -> Deadline | None:
        if not self._held_since:
            return None
        if end := self._end_flush(now):
            self._has_flushed_end = True
            return end
        if self._is_alive() and (self._is_due(now) or self._is_pressing(now)):
            return self._longest()
        return None

    def _end_flush(self, now: Moment) -> Deadline | None:
        """The flush that `next` is held for, if the budget and the invocation leave time to wait for it."""
        is_awaited = self._waits_for_end and self._may_wait
        if not (self._hold_until and self._budget and is_awaited) or self._has_flushed_end:
            return None
        left_s = min(self._budget.left_s(now.monotonic_s), self._hold_until.left_s(now.monotonic_s))
        return self._longest() if left_s >= self._settings.budget_s * _WORTH_TRYING else None

    def _longest(self) -> Deadline:
        return Deadline.after(self._settings.flush_limit_s, self._clock)

    def _is_alive(self) -> bool:
        """Whether the sandbox is not about to freeze, as far as we know."""
        return self._is_managed or self._requests.is_running

    def _is_due(self, now: Moment) -> bool:
        return self._settings.mode is not Mode.SHUTDOWN and self._due_in_s(now) <= 0

    def _due_in_s(self, now: Moment) -> float:
        since = [self._held_since, self._last_flush]
        if self._waits_for_end and self._may_wait:
            # What an earlier invocation has left goes with the flush at the end of this one.
            since.append(self._invoked_at)
        return self._settings.interval_s - min([now.since_s(moment) for moment in since if moment])

    def _is_pressing(self, now: Moment) -> bool:
        return self._is_nearly_full and not self._is_circuit_open and self._retry_in_s(now) <= 0

    def _retry_in_s(self, now: Moment) -> float:
        if self._was_delivered or not self._last_flush:
            return 0.0
        return _RETRY_S - now.since_s(self._last_flush)

    def _wake_in_s(self, now: Moment) -> float | None:
        moments = []
        if self._hold_until:
            deadlines = (self._hold_until, self._under_way, self._budget)
            moments += [deadline.left_s(now.monotonic_s) for deadline in deadlines if deadline]
        if self._held_since and not self._under_way and self._is_alive():
            if self._settings.mode is not Mode.SHUTDOWN:
                moments.append(self._due_in_s(now))
            if self._is_nearly_full and not self._is_circuit_open:
                moments.append(self._retry_in_s(now))
        return min([moment for moment in moments if moment > 0], default=None)

    def _drain(self, until: Deadline, report_until: Deadline) -> Step:
        """Flush what is there, take in the last report, flush that; what failed once is for the spool."""
        if self._under_way and self._last_word_until.left_s():
            return Step(may_call_next=False, wake_in_s=self._last_word_until.left_s())
        can_flush = self._held_since and not until.is_over()
        if can_flush and not self._drains:
            return self._drain_now(until)
        if self._awaits_report() and not report_until.is_over():
            return Step(may_call_next=False, wake_in_s=report_until.left_s())
        if can_flush and self._drains == 1 and self._was_delivered:
            return self._drain_now(until)
        return Step(may_call_next=False, is_over=True)

    def _drain_now(self, until: Deadline) -> Step:
        self._drains += 1
        self._under_way = until
        return Step(may_call_next=False, flush=until)

    def _awaits_report(self) -> bool:
        return self._has_runtime_done and (self._is_managed or not self._requests.has_report)
