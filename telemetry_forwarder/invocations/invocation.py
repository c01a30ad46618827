"""What is known of one invocation, and what that means once it is over. Pure."""

from telemetry_forwarder.core.frozen import frozen, state
from telemetry_forwarder.invocations.completed import OUT_OF_MEMORY, SUCCESS, TIMEOUT, CompletedInvocation
from telemetry_forwarder.telemetry.records import PhaseSpan, Report, RuntimeDone, Start, Tracing


@frozen
class PresumedEnd:
    """What SHUTDOWN tells of an invocation whose end was never told."""

    at_ns: int
    status: str
    error_type: str


@state
class Invocation:
    """What is known so far of one invocation: of one attempt, where attempts share a request id."""

    request_id: str
    trace_id: str
    """32 hex digits: from Lambda's tracing header, else our own."""
    span_id: str
    """16 hex digits: Lambda's `spanId`, else our own."""
    tracing: Tracing
    start_ns: int
    former: "Invocation | None" = None
    """The attempt before this one."""
    was_invoked: bool = False
    """Whether INVOKE was seen."""
    has_start: bool = False
    """Whether platform.start was seen."""
    arn: str = ""
    tenant_id: str = ""
    is_cold: bool = False
    exception_type: str = ""
    """Of an unhandled exception seen in the log: Lambda itself calls such an invocation a success."""
    has_run_out_of_memory: bool = False
    """Whether a line of the log says so."""
    last_line_ns: int = 0
    done: RuntimeDone | None = None
    report: Report | None = None
    presumed_end: PresumedEnd | None = None
    is_given: bool = False

    @property
    def has_ended(self) -> bool:
        return self.done is not None or self.report is not None

    @property
    def is_certain(self) -> bool:
        """Whether its ids and its start are final. INVOKE alone tells no span id."""
        return self.has_start or self.has_ended or self.is_given

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be expected that would change how it ended.

        A failure waits for its report, which alone may tell that memory had run out.
        """
        return self.report is not None or (self.done is not None and self.done.status in ("", SUCCESS))

    @property
    def context(self) -> tuple[str, str]:
        """Trace id and span id for its log records; empty where they are not certain."""
        # `has_start` is most often enough, and this is asked for every line.
        is_certain = self.has_start or self.is_certain
        return (self.trace_id, self.span_id) if is_certain else (self.tracing.trace_id, "")

    def begin(self, event: Start) -> None:
        """Take in platform.start."""
        if not self.is_given:
            self.start_ns = event.time_ns or self.start_ns
            self.trace(event.tracing)
        self.has_start = True
        self.arn = self.arn or event.function_arn
        self.tenant_id = event.tenant_id or self.tenant_id

    def trace(self, tracing: Tracing) -> None:
        """Take in the tracing of an event, where no event before it had any."""
        if self.is_certain or tracing == Tracing():
            return
        self.trace_id = tracing.trace_id or self.trace_id
        self.span_id = tracing.span_id or self.span_id
        self.tracing = tracing


def finished(invocation: Invocation) -> CompletedInvocation:
    """What is to be said of *invocation*, now that it is over."""
    done, report, presumed = invocation.done, invocation.report, invocation.presumed_end
    told = [event for event in (done, report) if event is not None]
    ends_ns = [event.moment_ns for event in told] or [presumed.at_ns if presumed else invocation.last_line_ns]
    durations_s = [event.duration_s for event in told if event.duration_s is not None]
    status = next((end.status for end in (*told, presumed) if end and end.status), "")
    return CompletedInvocation(
        request_id=invocation.request_id,
        trace_id=invocation.trace_id,
        span_id=invocation.span_id,
        tracing=invocation.tracing,
        arn=invocation.arn,
        tenant_id=invocation.tenant_id,
        start_ns=invocation.start_ns,
        end_ns=max(invocation.start_ns, ends_ns[0]),
        is_cold=invocation.is_cold,
        status=status,
        error_type=_error_type(invocation, status),
        has_run_out_of_memory=_has_run_out_of_memory(invocation, status),
        duration_s=durations_s[0] if durations_s else None,
        produced_bytes=done.produced_bytes if done else None,
        spans=(done.spans if done else ()) + spans_of_report(invocation),
    )


def spans_of_report(invocation: Invocation) -> tuple[PhaseSpan, ...]:
    """The phases that only the report tells."""
    told = invocation.done.spans if invocation.done else ()
    return tuple(span for span in invocation.report.spans if span not in told) if invocation.report else ()


def _error_type(invocation: Invocation, status: str) -> str:
    """Why it failed; empty if it did not. The rules are in the README, under 'What counts as an error'."""
    if status in ("", SUCCESS):
        return invocation.exception_type
    told = _told_errors(invocation)
    if status == TIMEOUT:
        return told[0] if told else TIMEOUT
    if _has_run_out_of_memory(invocation, status):
        return OUT_OF_MEMORY
    presumed = invocation.presumed_end.error_type if invocation.presumed_end else ""
    return (told[0] if told else invocation.exception_type) or presumed or status


def _has_run_out_of_memory(invocation: Invocation, status: str) -> bool:
    if status in ("", SUCCESS):
        # Talk of memory in the log of an invocation that went well is only talk.
        return invocation.has_run_out_of_memory and invocation.exception_type != ""
    return (
        OUT_OF_MEMORY in _told_errors(invocation)
        or invocation.has_run_out_of_memory
        or _has_used_all_memory(invocation.report)
    )


def _told_errors(invocation: Invocation) -> list[str]:
    return [event.error_type for event in (invocation.done, invocation.report) if event and event.error_type]


def _has_used_all_memory(report: Report | None) -> bool:
    if report is None or not report.memory_size_bytes:
        return False
    return (report.max_memory_used_bytes or 0) >= report.memory_size_bytes
