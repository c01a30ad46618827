"""Joins what Lambda says of one invocation, and knows which invocation a log line belongs to. Pure; never raises.

An invocation's story comes in pieces (INVOKE from `next`, then platform.start, log lines, runtimeDone, report), late,
twice or never. What is over is given out once, by `take_finished`.
"""

from collections.abc import Callable

from telemetry_forwarder.invocations.completed import ERROR, TIMEOUT, Completed, LateSpans
from telemetry_forwarder.invocations.duplicate_events import DuplicateEvents
from telemetry_forwarder.invocations.invocation import Invocation as Invocation
from telemetry_forwarder.invocations.invocation import PresumedEnd, finished, spans_of_report
from telemetry_forwarder.invocations.phases import Phase, Phases
from telemetry_forwarder.telemetry.records import Event, Report, RuntimeDone, Start, Tracing
from telemetry_forwarder.telemetry.trace_context import read_tracing

# More than run at once in one environment. The oldest is finished with what is known of it.
_MAX_KNOWN = 1_024
# Kept after they are over, for what comes late.
_KEPT_AFTERWARDS = 256
# Why Lambda shuts down -> the status of what was running.
_STATUSES = {"timeout": TIMEOUT, "failure": ERROR}


class InvocationTracker:
    """The invocations that are going on, and the last ones that are over."""

    def __init__(self, *, is_managed: bool, new_id: Callable[[int], str]) -> None:
        """On managed instances invocations interleave and nothing is guessed. *new_id*: n random bytes as hex."""
        self._is_managed = is_managed
        self._new_id = new_id
        # In the order in which they began.
        self._attempts: list[Invocation] = []
        # The last attempt of each request.
        self._latest: dict[str, Invocation] = {}
        self._phases = Phases(new_id)
        self._redelivery = DuplicateEvents()
        self._finished: list[Completed] = []
        self._last_end_ns = 0
        self._is_shut_down = False

    def invoked(self, request_id: str, arn: str, trace_header: str, at_ns: int) -> None:
        """INVOKE came, before or after platform.start, which tells the same more exactly."""
        invocation = self._latest.get(request_id)
        if invocation is None or invocation.was_invoked:
            # Before, it may even have ended: very short ones do. Twice, it is another attempt.
            invocation = self._open(request_id, read_tracing(trace_header), at_ns)
        invocation.was_invoked = True
        invocation.arn = arn or invocation.arn

    def observe(self, event: Event) -> bool:
        """Take in a platform event; say whether it was news. A second telling of the same changes nothing."""
        if not self._redelivery.is_news(event):
            return False
        match event:
            case Start(request_id=str(request_id)) if request_id:
                self._start(event)
            case RuntimeDone(request_id=str(request_id)) if request_id:
                self._runtime_done(event)
            case Report(request_id=str(request_id)) if request_id:
                self._report(event)
            case _:
                self._phases.observe(event)
        return True

    def of_line(self, request_id: str, time_ns: int) -> Invocation | None:
        """The invocation of a log line: by the id in it, else the one that was open at that moment.

        None where that would be a guess: on managed instances, during an init, for an id that is not known.
        """
        if request_id:
            # An event's id may be anything that JSON can spell.
            latest = self._latest.get(request_id) if isinstance(request_id, str) else None
            # Asked for every line, and another attempt before this one is rare.
            return latest if latest is None or latest.former is None else self._attempt(request_id, time_ns)
        if self._is_managed:
            return None
        for invocation in reversed(self._attempts):
            if self._has_begun(invocation, time_ns):
                return invocation
        return None

    def is_only_attempt(self, invocation: Invocation) -> bool:
        """Whether all lines with its request id are its own, whenever they were written."""
        return invocation.former is None and self._latest.get(invocation.request_id) is invocation

    def has_ended(self, request_id: str) -> bool:
        """Whether Lambda has said that the runtime is done with this invocation."""
        invocation = self._latest.get(request_id)
        return invocation is not None and invocation.has_ended

    def shut_down(self, reason: str, at_ns: int) -> None:
        """Nothing more will be told. Whatever is open ends now, as *reason* says."""
        self._is_shut_down = True
        status = _STATUSES.get(reason.lower(), "")
        # One after the other, only the last one can be what the shutdown is about.
        for invocation in self._attempts if self._is_managed else self._attempts[-1:]:
            if status and invocation.presumed_end is None:
                invocation.presumed_end = PresumedEnd(at_ns, status, reason.lower())

    def take_completed(self) -> list[Completed]:
        """What is over and was not given before: phases, then invocations, then what came late."""
        taken: list[Completed] = [*self._phases.take_completed(self._made_for, everything=self._is_shut_down)]
        has_later_ended = self._is_shut_down
        over = []
        for invocation in reversed(self._attempts):
            if not invocation.is_given and (invocation.is_settled or has_later_ended):
                over.append(invocation)
            has_later_ended = has_later_ended or (invocation.has_ended and not self._is_managed)
        taken += [self._give(invocation) for invocation in reversed(over)]
        taken += self._finished
        self._finished = []
        self._forget()
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
        if len(self._attempts) > _MAX_KNOWN:
            oldest = self._attempts[0]
            if not oldest.is_given:
                self._finished.append(self._give(oldest))
            self._drop([oldest])
        return invocation

    def _open_late(self, event: RuntimeDone | Report) -> Invocation:
        """An invocation of whose beginning we never heard."""
        duration_ns = round((event.duration_s or 0.0) * 1_000_000_000)
        invocation = self._open(event.request_id, event.tracing, max(0, event.moment_ns - duration_ns))
        self._attempts.sort(key=lambda known: known.start_ns)
        return invocation

    def _attempt(self, request_id: str, time_ns: int) -> Invocation | None:
        """The attempt of a request that was going on at a moment."""
        latest = self._latest.get(request_id)
        if latest is not None and latest.former is not None and 0 < time_ns < latest.start_ns:
            return latest.former
        return latest

    def _start(self, event: Start) -> None:
        invocation = self._latest.get(event.request_id)
        if invocation is None or invocation.has_start or _has_ended_before(invocation, event):
            invocation = self._open(event.request_id, event.tracing, event.moment_ns)
        invocation.begin(event)

    def _runtime_done(self, event: RuntimeDone) -> None:
        invocation = self._attempt(event.request_id, event.time_ns) or self._open_late(event)
        invocation.trace(event.tracing)
        invocation.done = invocation.done or event
        self._last_end_ns = max(self._last_end_ns, event.time_ns)
        invocation.tenant_id = invocation.tenant_id or event.tenant_id

    def _report(self, event: Report) -> None:
        invocation = self._attempt(event.request_id, event.time_ns) or self._open_late(event)
        if invocation.report is not None:
            return
        invocation.trace(event.tracing)
        invocation.report = event
        invocation.tenant_id = invocation.tenant_id or event.tenant_id
        if invocation.is_given and (spans := spans_of_report(invocation)):
            self._finished.append(
                LateSpans(
                    event.request_id,
                    invocation.trace_id,
                    invocation.span_id,
                    invocation.tracing.is_sampled,
                    spans,
                )
            )

    def _has_begun(self, invocation: Invocation, time_ns: int) -> bool:
        """Whether *invocation* had begun at a moment, as far as can be told."""
        if invocation.is_certain:
            return not time_ns or time_ns >= invocation.start_ns
        # INVOKE reaches us at the same time as the function. It has begun when all before it is over.
        if self._phases.is_running:
            return False
        return not time_ns or time_ns >= max(self._phases.runtime_done_ns, self._last_end_ns)

    def _made_for(self, phase: Phase) -> Invocation | None:
        """The invocation that has waited for *phase*, or came first after it; None while it is not certain."""
        running, following = None, None
        for invocation in self._attempts:
            if invocation.start_ns >= phase.start_ns:
                following = invocation
                break
            if not (invocation.done and invocation.done.time_ns < phase.start_ns):
                running = invocation
        parent = (phase.is_suppressed and running) or following
        return parent if parent is not None and parent.is_certain else None

    def _give(self, invocation: Invocation) -> Completed:
        invocation.is_given = True
        return finished(invocation)

    def _forget(self) -> None:
        given = [invocation for invocation in self._attempts if invocation.is_given]
        self._drop(given[:-_KEPT_AFTERWARDS])

    def _drop(self, dropped: list[Invocation]) -> None:
        gone = set(map(id, dropped))
        self._attempts = [invocation for invocation in self._attempts if id(invocation) not in gone]
        for invocation in dropped:
            if self._latest.get(invocation.request_id) is invocation:
                del self._latest[invocation.request_id]


def _has_ended_before(invocation: Invocation, start: Start) -> bool:
    """Whether *start* must be of another attempt."""
    end = invocation.done or invocation.report
    return end is not None and end.moment_ns < start.moment_ns
