"""Joins what Lambda says of one invocation, and knows which invocation a log line belongs to. Pure; never raises.

An invocation's story comes in pieces (INVOKE from `next`, then platform.start, log lines, runtimeDone, report), late,
twice or never. What is over is given out once, by `take_finished`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from telemetry_forwarder.outcomes import (
    ERROR,
    OUT_OF_MEMORY,
    SUCCESS,
    TIMEOUT,
    Finished,
    FinishedInvocation,
    LateSpans,
)
from telemetry_forwarder.phases import Phases
from telemetry_forwarder.records import Event, InitStart, Report, RuntimeDone, Start, Tracing
from telemetry_forwarder.tracing import read_tracing

# More than run at once in one environment. The oldest is finished with what is known of it.
_MAX_KNOWN = 1_024
# Kept after they are over, for what comes late.
_KEPT_AFTERWARDS = 64


@dataclass(slots=True)
class Invocation:
    """What is known so far of one invocation: of one attempt, where attempts share a request id."""

    request_id: str
    trace_id: str
    """32 hex digits: from Lambda's tracing header, else our own."""
    span_id: str
    """16 hex digits: Lambda's `spanId`, else our own."""
    tracing: Tracing
    start_ns: int
    has_invoke: bool = False
    has_start: bool = False
    """Whether platform.start was seen: before that, all but the request id is provisional."""
    arn: str = ""
    tenant_id: str = ""
    is_cold: bool = False
    exception_type: str = ""
    """Of an unhandled exception seen in the log: Lambda itself calls such an invocation a success."""
    has_run_out_of_memory: bool = False
    last_line_ns: int = 0
    done: RuntimeDone | None = None
    report: Report | None = None
    is_given: bool = False


class Invocations:
    """The invocations that are going on, and the last ones that are over."""

    def __init__(self, *, is_managed: bool, new_id: Callable[[int], str]) -> None:
        """On managed instances invocations interleave and nothing is guessed. *new_id*: n random bytes as hex."""
        self._is_managed = is_managed
        self._new_id = new_id
        self._known: dict[str, Invocation] = {}
        self._phases = Phases(new_id)
        self._finished: list[Finished] = []
        self._first: Invocation | None = None
        self._is_shut_down = False

    def invoked(self, request_id: str, arn: str, trace_header: str, at_ns: int) -> None:
        """INVOKE came, before or after platform.start, which tells the same more exactly."""
        invocation = self._known.get(request_id)
        # A fast invocation can be over before we read its INVOKE; a second INVOKE is another attempt.
        if invocation is None or (invocation.has_invoke and invocation.done is not None):
            invocation = self._open(request_id, read_tracing(trace_header), at_ns)
        invocation.has_invoke = True
        invocation.arn = arn or invocation.arn

    def observe(self, event: Event) -> bool:
        """Take in a platform event; say whether it was news. A second telling of the same changes nothing."""
        match event:
            case Start():
                return self._start(event)
            case RuntimeDone():
                return self._runtime_done(event)
            case Report():
                return self._report(event)
            case _:
                is_news = self._phases.observe(event)
                self._note_suppressed_init(event)
                return is_news

    def of_line(self, request_id: str, time_ns: int) -> Invocation | None:
        """The invocation of a log line: by the id in it, else the one that was open at that moment.

        None where that would be a guess: on managed instances, during an init, for an id that is not known.
        """
        if request_id:
            return self._known.get(request_id)
        if self._is_managed:
            return None
        for invocation in reversed(self._known.values()):
            begin_ns = invocation.start_ns if invocation.has_start else self._idle_before(invocation)
            if not time_ns or time_ns >= begin_ns:
                return invocation
        return None

    def has_ended(self, request_id: str) -> bool:
        """Whether Lambda has said that the runtime is done with this invocation."""
        invocation = self._known.get(request_id)
        return invocation is not None and (invocation.done is not None or invocation.report is not None)

    def shut_down(self, reason: str, at_ns: int) -> None:
        """Nothing more will be told. Whatever is open ends now, as *reason* says."""
        self._is_shut_down = True
        status = {"timeout": TIMEOUT, "failure": ERROR}.get(reason.lower(), "")
        for invocation in self._known.values():
            if status and invocation.done is None and invocation.report is None:
                invocation.done = _told_by_shutdown(invocation.request_id, status, at_ns)

    def take_finished(self) -> list[Finished]:
        """What is over and was not given before: phases, then invocations, then what came late."""
        first = self._first
        parent = (first.tracing, first.trace_id, first.span_id) if first else None
        finished: list[Finished] = [*self._phases.take_finished(parent, everything=self._is_shut_down)]
        later_is_done = self._is_shut_down
        over = []
        for invocation in reversed(self._known.values()):
            if not invocation.is_given and self._is_over(invocation, later_is_done):
                over.append(invocation)
            later_is_done = later_is_done or (invocation.done is not None and not self._is_managed)
        for invocation in reversed(over):
            invocation.is_given = True
            finished.append(_finished(invocation))
        finished += self._finished
        self._finished = []
        self._forget()
        return finished

    def _open(self, request_id: str, tracing: Tracing, at_ns: int) -> Invocation:
        invocation = Invocation(
            request_id,
            trace_id=tracing.trace_id or self._new_id(16),
            span_id=tracing.span_id or self._new_id(8),
            tracing=tracing,
            start_ns=at_ns,
        )
        before = self._known.pop(request_id, None)
        if before is not None and not before.is_given:
            self._finished.append(_finished(before))
        self._known[request_id] = invocation
        if self._first is None:
            self._first = invocation
        return invocation

    def _start(self, event: Start) -> bool:
        invocation = self._known.get(event.request_id)
        if invocation is not None and invocation.has_start and invocation.start_ns == event.time_ns:
            return False
        if invocation is None or invocation.has_start or invocation.is_given:
            # Another attempt of the same event: it has the same request id.
            invocation = self._open(event.request_id, event.tracing, event.time_ns)
        invocation.has_start = True
        invocation.start_ns = event.time_ns or invocation.start_ns
        invocation.arn = invocation.arn or event.function_arn
        invocation.tenant_id = event.tenant_id
        self._trace(invocation, event.tracing)
        invocation.is_cold = self._phases.take_cold_start()
        return True

    def _note_suppressed_init(self, event: Event) -> None:
        """An init that is done again inside an invocation is that invocation's cold start."""
        if isinstance(event, InitStart) and event.phase == "invoke" and self._known:
            latest = next(reversed(self._known.values()))
            if latest.has_start and latest.done is None:
                latest.is_cold = self._phases.take_cold_start() or latest.is_cold

    def _runtime_done(self, event: RuntimeDone) -> bool:
        invocation = self._known.get(event.request_id) or self._open_late(event)
        if invocation.done is not None:
            return False
        invocation.done = event
        invocation.tenant_id = invocation.tenant_id or event.tenant_id
        return True

    def _report(self, event: Report) -> bool:
        invocation = self._known.get(event.request_id) or self._open_late(event)
        if invocation.report is not None:
            return False
        invocation.report = event
        invocation.tenant_id = invocation.tenant_id or event.tenant_id
        if invocation.is_given and event.spans:
            self._finished.append(
                LateSpans(
                    event.request_id,
                    invocation.trace_id,
                    invocation.span_id,
                    invocation.tracing.is_sampled,
                    event.spans,
                )
            )
        return True

    def _open_late(self, event: RuntimeDone | Report) -> Invocation:
        """An invocation of whose beginning we never heard."""
        duration_ns = round((event.duration_s or 0.0) * 1_000_000_000)
        return self._open(event.request_id, event.tracing, max(0, event.time_ns - duration_ns))

    def _trace(self, invocation: Invocation, tracing: Tracing) -> None:
        invocation.trace_id = tracing.trace_id or invocation.trace_id
        invocation.span_id = tracing.span_id or invocation.span_id
        if tracing != Tracing():
            invocation.tracing = tracing

    def _idle_before(self, invocation: Invocation) -> int:
        """Since when nothing ran, before this one."""
        ends = [
            known.done.time_ns for known in self._known.values() if known.done and known is not invocation
        ]
        return max([self._phases.runtime_done_ns, *ends])

    def _is_over(self, invocation: Invocation, later_is_done: bool) -> bool:
        """A failure waits for its report, which alone may tell that memory had run out."""
        if invocation.report is not None or later_is_done:
            return True
        return invocation.done is not None and invocation.done.status in ("", SUCCESS)

    def _forget(self) -> None:
        given = [known.request_id for known in self._known.values() if known.is_given]
        for request_id in given[:-_KEPT_AFTERWARDS]:
            del self._known[request_id]
        while len(self._known) > _MAX_KNOWN:
            oldest = self._known.pop(next(iter(self._known)))
            if not oldest.is_given:
                self._finished.append(_finished(oldest))


def _told_by_shutdown(request_id: str, status: str, at_ns: int) -> RuntimeDone:
    return RuntimeDone("platform.runtimeDone", at_ns, at_ns, None, request_id=request_id, status=status)


def _finished(invocation: Invocation) -> FinishedInvocation:
    done, report = invocation.done, invocation.report
    told = done or report
    status = (done.status if done else "") or (report.status if report else "")
    spans = (done.spans if done else ()) + (report.spans if report else ())
    end_ns = told.time_ns if told else invocation.last_line_ns
    return FinishedInvocation(
        request_id=invocation.request_id,
        trace_id=invocation.trace_id,
        span_id=invocation.span_id,
        tracing=invocation.tracing,
        arn=invocation.arn,
        tenant_id=invocation.tenant_id,
        start_ns=invocation.start_ns,
        end_ns=max(invocation.start_ns, end_ns),
        is_cold=invocation.is_cold,
        status=status,
        error_type=_error_type(invocation, status),
        duration_s=told.duration_s if told else None,
        produced_bytes=done.produced_bytes if done else None,
        spans=spans,
    )


def _error_type(invocation: Invocation, status: str) -> str:
    """Why it failed; empty if it did not. The rules are in the README, under 'What counts as an error'."""
    told = [event.error_type for event in (invocation.done, invocation.report) if event and event.error_type]
    if status in ("", SUCCESS):
        return invocation.exception_type
    if status == TIMEOUT:
        return told[0] if told else TIMEOUT
    if OUT_OF_MEMORY in told or invocation.has_run_out_of_memory or _has_used_all_memory(invocation.report):
        return OUT_OF_MEMORY
    return told[0] if told else invocation.exception_type or status


def _has_used_all_memory(report: Report | None) -> bool:
    return (
        report is not None
        and report.max_memory_used_bytes is not None
        and report.max_memory_used_bytes == report.memory_size_bytes
    )
