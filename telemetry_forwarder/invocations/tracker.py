"""Correlates events by invocation, and finds the invocation of a log line. No I/O; never raises.

The events of an invocation (INVOKE from `next`, then platform.start, log lines, runtimeDone, report) can arrive late,
twice or never. `take_completed` returns each completed invocation and phase once.
"""

from collections.abc import Callable

from telemetry_forwarder.invocations.completed import ERROR, SUCCESS, TIMEOUT, Completed, LateSpans
from telemetry_forwarder.invocations.duplicate_events import Arrival, DuplicateEvents
from telemetry_forwarder.invocations.event_lag import EventLag
from telemetry_forwarder.invocations.invocation import Invocation, PresumedEnd, complete, select_report_spans
from telemetry_forwarder.invocations.phases import Phase, Phases
from telemetry_forwarder.telemetry.records import Event, Report, RuntimeDone, Start, Tracing
from telemetry_forwarder.telemetry.trace_context import parse_tracing

# More than run at once in one environment. The oldest is completed with what is known of it.
_MAX_ATTEMPTS = 1_024
# Number of completed invocations that are kept, so that late events find them.
_MAX_TAKEN = 256
# Reason of the shutdown -> status of the running invocation.
_STATUSES = {"timeout": TIMEOUT, "failure": ERROR}


class InvocationTracker:
    """The running invocations, and the latest completed ones."""

    def __init__(self, *, is_managed: bool, new_id: Callable[[int], str]) -> None:
        """*is_managed*: invocations run concurrently, so nothing is guessed. *new_id* returns n random bytes as hex."""
        self.is_managed = is_managed
        self._new_id = new_id
        # In the order in which they began.
        self._attempts: list[Invocation] = []
        # The last attempt of each request.
        self._latest: dict[str, Invocation] = {}
        self._taken: list[Invocation] = []  # in the order in which they were returned as completed
        self._phases = Phases(new_id)
        self._duplicates = DuplicateEvents()
        self._completed: list[Completed] = []
        self._last_end_ns = 0
        self._shutdown: PresumedEnd | None = None
        self._lag = EventLag()

    @property
    def lag_ns(self) -> int:
        """How long events take to arrive, as far as is known; negative while the wall clock is slow."""
        return self._lag.ns

    @property
    def has_open_phase(self) -> bool:
        """Whether an init or a restore has begun whose report is expected."""
        return self._phases.has_open

    def observe_invoke(self, request_id: str, *, arn: str, trace_header: str, at_ns: int) -> None:
        """Apply INVOKE, received before or after platform.start, which is more exact."""
        invocation = self._latest.get(request_id)
        if invocation is None or invocation.was_invoked:
            # A short invocation may even have ended before its INVOKE is received. A second INVOKE is another attempt.
            invocation = self._open(request_id, parse_tracing(trace_header), self._lag.correct(at_ns))
        invocation.was_invoked = True
        invocation.arn = arn or invocation.arn

    def observe(self, event: Event) -> Arrival:
        """Apply a platform event. A duplicate changes nothing."""
        if not self._duplicates.is_new(event):
            return Arrival.DUPLICATE
        if event.time_ns:
            self._lag.note(event.observed_ns - event.time_ns)
        match event:
            case Start(request_id=str(request_id)) if request_id:
                is_shown = self._start(event)
            case RuntimeDone(request_id=str(request_id)) if request_id:
                is_shown = self._runtime_done(event)
            case Report(request_id=str(request_id)) if request_id:
                is_shown = self._report(event)
            case _:
                is_shown = self._phases.observe(event)
        return Arrival.SHOWN if is_shown else Arrival.UNSHOWN

    def find(self, request_id: str, time_ns: int) -> Invocation | None:
        """Return the invocation of a log line: by its request id, else the latest one that had begun by that time.

        None for an id that is not known here, and without an id on managed instances and during an init.
        """
        if request_id:
            # An event's id may be any JSON value.
            latest = self._latest.get(request_id) if isinstance(request_id, str) else None
            # Called for every line; an earlier attempt is rare.
            return latest if latest is None or latest.former is None else self._attempt(request_id, time_ns)
        if self.is_managed:
            return None
        for invocation in reversed(self._attempts):
            if self._has_begun(invocation, time_ns):
                return invocation
        return None

    def note_exception(self, message: str, time_ns: int) -> None:
        """Apply a log line about an uncaught exception of no invocation."""
        self._phases.note_exception(message, time_ns)

    def is_only_attempt(self, invocation: Invocation) -> bool:
        """Return whether all lines with its request id belong to it, whenever they were written."""
        return invocation.former is None and self._latest.get(invocation.request_id) is invocation

    def has_ended(self, request_id: str) -> bool:
        """Return whether Lambda has reported the end of this invocation."""
        invocation = self._latest.get(request_id)
        return invocation is not None and invocation.has_ended

    def shut_down(self, reason: str, at_ns: int) -> None:
        """End all running invocations: no more events are expected. *reason* determines their status."""
        status = _STATUSES.get(reason.lower(), "")
        self._shutdown = PresumedEnd(at_ns=self._lag.correct(at_ns), status=status, error_type=reason.lower())
        # If invocations run one after the other, only the last one can be running.
        for invocation in self._attempts if self.is_managed else self._attempts[-1:]:
            if status and invocation.presumed_end is None:
                invocation.presumed_end = self._shutdown

    def take_completed(self) -> list[Completed]:
        """Return what has ended and was not returned before: phases, then invocations, then late spans."""
        taken: list[Completed] = [*self._phases.take_completed(self._parent, shutdown=self._shutdown)]
        has_later_ended = self._shutdown is not None
        ended = []
        for invocation in reversed(self._attempts):
            if not invocation.is_taken and (invocation.is_settled or has_later_ended):
                ended.append(invocation)
            has_later_ended = has_later_ended or (invocation.has_ended and not self.is_managed)
        taken += [self._take(invocation) for invocation in reversed(ended)]
        taken += self._completed
        self._completed = []
        while len(self._taken) > _MAX_TAKEN:
            self._drop(self._taken[0])
        return taken

    def _open(self, request_id: str, tracing: Tracing, at_ns: int) -> Invocation:
        invocation = Invocation(
            request_id,
            trace_id=tracing.trace_id or self._new_id(16),
            span_id=tracing.span_id or self._new_id(8),
            tracing=tracing,
            start_ns=at_ns,
            former=self._latest.get(request_id),
        )
        if invocation.former is not None:
            invocation.former.former = None
        self._latest[request_id] = invocation
        self._attempts.append(invocation)
        if len(self._attempts) > _MAX_ATTEMPTS:
            oldest = self._attempts[0]
            if not oldest.is_taken:
                self._completed.append(self._take(oldest))
            self._drop(oldest)
        return invocation

    def _open_late(self, event: RuntimeDone | Report) -> Invocation:
        """Open an invocation whose beginning was not reported."""
        duration_ns = round((event.duration_s or 0.0) * 1_000_000_000)
        invocation = self._open(event.request_id, event.tracing, max(0, event.moment_ns - duration_ns))
        self._attempts.sort(key=lambda attempt: attempt.start_ns)
        return invocation

    def _attempt(self, request_id: str, time_ns: int) -> Invocation | None:
        """Return the attempt of a request that ran at a time."""
        latest = self._latest.get(request_id)
        if latest is not None and latest.former is not None and 0 < time_ns < latest.start_ns:
            return latest.former
        return latest

    def _start(self, event: Start) -> bool:
        """Apply *event*; return whether a span will show it, as the next two methods do."""
        invocation = self._latest.get(event.request_id)
        end = (invocation.done or invocation.report) if invocation else None
        if invocation is None or invocation.has_start or (end and end.moment_ns < event.moment_ns):
            # The first event of a request, or of another attempt.
            invocation = self._open(event.request_id, event.tracing, event.moment_ns)
        invocation.observe_start(event)
        return not invocation.is_taken

    def _runtime_done(self, event: RuntimeDone) -> bool:
        invocation = self._attempt(event.request_id, event.time_ns) or self._open_late(event)
        invocation.adopt_tracing(event.tracing)
        invocation.done = invocation.done or event
        self._last_end_ns = max(self._last_end_ns, event.time_ns)
        invocation.tenant_id = invocation.tenant_id or event.tenant_id
        return invocation.done is event and not invocation.is_taken

    def _report(self, event: Report) -> bool:
        invocation = self._attempt(event.request_id, event.time_ns) or self._open_late(event)
        if invocation.report is not None:
            return False
        invocation.adopt_tracing(event.tracing)
        invocation.report = event
        # It reports the init even if the init's own events were not delivered. An init in advance is no cold start.
        is_cold = event.init_duration_s is not None and not self._phases.has_init_in_advance
        is_late_cold_start = is_cold and invocation.is_taken and not invocation.is_cold
        invocation.is_cold = invocation.is_cold or is_cold
        invocation.tenant_id = invocation.tenant_id or event.tenant_id
        spans = select_report_spans(invocation) if invocation.is_taken else ()
        if spans or is_late_cold_start:
            self._completed.append(
                LateSpans(
                    request_id=event.request_id,
                    trace_id=invocation.trace_id,
                    parent_span_id=invocation.span_id,
                    is_sampled=invocation.tracing.is_sampled,
                    spans=spans,
                    report=event,
                    is_late_cold_start=is_late_cold_start,
                )
            )
        done = invocation.done
        if event.status not in ("", SUCCESS) and (invocation.is_taken or (done is not None and done.status == SUCCESS)):
            # The span shows the status of platform.runtimeDone.
            return False
        return not invocation.is_taken or spans != ()

    def _has_begun(self, invocation: Invocation, time_ns: int) -> bool:
        """Return whether *invocation* had begun at a time, as far as is known."""
        if invocation.is_certain:
            return not time_ns or time_ns >= invocation.start_ns
        # INVOKE arrives here and at the function at the same time. It has begun when everything before it has ended.
        begin_ns = max(self._phases.runtime_done_ns, self._last_end_ns)
        return not self._phases.is_running and (not time_ns or time_ns >= begin_ns)

    def _parent(self, phase: Phase) -> Invocation | None:
        """Return the invocation that waited for *phase*, or the first one after it; None while it is uncertain."""
        running, following = None, None
        for invocation in self._attempts:
            if invocation.start_ns >= phase.start_ns:
                following = invocation
                break
            if not (invocation.done and invocation.done.time_ns < phase.start_ns):
                running = invocation
        parent = (phase.is_suppressed and running) or following
        is_final = parent is not None and (parent.is_certain or self._shutdown is not None)
        return parent if is_final else None

    def _take(self, invocation: Invocation) -> Completed:
        invocation.is_taken = True
        self._taken.append(invocation)
        completed = complete(invocation)
        # Many that were taken are kept.
        invocation.start = None
        return completed

    def _drop(self, invocation: Invocation) -> None:
        self._attempts.remove(invocation)
        self._taken.remove(invocation)
        if self._latest.get(invocation.request_id) is invocation:
            del self._latest[invocation.request_id]
