"""The state of one invocation, and the conclusions from it once it has ended. No I/O."""

from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.invocations.completed import OUT_OF_MEMORY, SUCCESS, TIMEOUT, CompletedInvocation
from telemetry_forwarder.telemetry.records import PhaseSpan, Report, RuntimeDone, Start, Tracing

# Lambda's word for a failure that it cannot name; managed instances report it for every exception of a handler.
_UNKNOWN = "Runtime.Unknown"


@frozen
class PresumedEnd:
    """The end of an invocation as SHUTDOWN implies it, if Lambda reported none."""

    at_ns: int
    status: str
    error_type: str


class Invocation:
    """The known state of one invocation: of one attempt, if attempts share a request id."""

    def __init__(
        self,
        request_id: str,
        *,
        trace_id: str,
        span_id: str,
        tracing: Tracing,
        start_ns: int,
        former: "Invocation | None" = None,
    ) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        """32 hex digits: from Lambda's tracing header, else random."""
        self.span_id = span_id
        """16 hex digits: Lambda's `spanId`, else random."""
        self.tracing = tracing
        self.start_ns = start_ns
        self.former = former
        """The attempt before this one."""
        self.was_invoked = False
        self.has_start = False
        """Whether INVOKE, and platform.start, was received."""
        self.arn = self.tenant_id = ""
        self.execution = ""
        """`name/id` of the durable execution that it is a part of."""
        self.is_cold = False
        self.waits_since_ns = 0
        self.exception_type = ""
        """Type of the uncaught exception in the log; Lambda reports such an invocation as a success."""
        self.exception_message = ""
        self.has_run_out_of_memory = False
        """Whether a log line reports it."""
        self.last_line_ns = 0
        self.start: Start | None = None
        self.done: RuntimeDone | None = None
        self.report: Report | None = None
        self.presumed_end: PresumedEnd | None = None
        self.is_taken = False
        """Whether it was returned as completed."""

    @property
    def has_ended(self) -> bool:
        return self.done is not None or self.report is not None

    @property
    def is_certain(self) -> bool:
        """Whether its ids and its start are final. INVOKE alone has no span id."""
        return self.has_start or self.has_ended or self.is_taken

    @property
    def is_settled(self) -> bool:
        """Whether no event is expected that would change how it ended.

        A failure waits for its report: only that can reveal that memory had run out.
        """
        return self.report is not None or (self.done is not None and self.done.status in ("", SUCCESS))

    @property
    def context(self) -> tuple[str, str]:
        """Trace id and span id for its log records; empty if they are not certain."""
        # Read for every line: `has_start` is usually enough.
        is_certain = self.has_start or self.is_certain
        return (self.trace_id, self.span_id) if is_certain else (self.tracing.trace_id, "")

    def observe_start(self, event: Start) -> None:
        if not self.is_taken:
            self.start_ns = event.time_ns or self.start_ns
            self.adopt_tracing(event.tracing)
            self.start = event
        self.has_start = True
        self.arn = self.arn or event.function_arn
        self.tenant_id = event.tenant_id or self.tenant_id

    def adopt_tracing(self, tracing: Tracing) -> None:
        """Use the tracing of an event, unless the ids are certain already."""
        if self.is_certain or tracing == Tracing():
            return
        self.trace_id = tracing.trace_id or self.trace_id
        self.span_id = tracing.span_id or self.span_id
        self.tracing = tracing


def complete(invocation: Invocation) -> CompletedInvocation:
    """Return the result of *invocation*, which has ended."""
    done, report, presumed = invocation.done, invocation.report, invocation.presumed_end
    ends = [event for event in (done, report) if event is not None]
    ends_ns = [event.moment_ns for event in ends] or [presumed.at_ns if presumed else invocation.last_line_ns]
    status = next((end.status for end in (*ends, presumed) if end and end.status), "")
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
        duration_s=next((event.duration_s for event in ends if event.duration_s is not None), None),
        produced_bytes=done.produced_bytes if done else None,
        spans=(done.spans if done else ()) + select_report_spans(invocation),
        error_message=invocation.exception_message,
        execution=invocation.execution,
        waits_since_ns=invocation.waits_since_ns,
        events=tuple([event for event in (invocation.start, done, report) if event is not None]),
    )


def select_report_spans(invocation: Invocation) -> tuple[PhaseSpan, ...]:
    """Return the phases that only the report contains."""
    known = invocation.done.spans if invocation.done else ()
    return tuple(span for span in invocation.report.spans if span not in known) if invocation.report else ()


def _error_type(invocation: Invocation, status: str) -> str:
    """Return why it failed; empty if it did not. The rules are documented under "What counts as an error"."""
    if status in ("", SUCCESS):
        return invocation.exception_type
    reported = _reported_errors(invocation)
    if status == TIMEOUT:
        return reported[0] if reported else TIMEOUT
    if _has_run_out_of_memory(invocation, status):
        return OUT_OF_MEMORY
    presumed = invocation.presumed_end.error_type if invocation.presumed_end else ""
    known = [error_type for error_type in reported if error_type != _UNKNOWN]
    return (known[0] if known else invocation.exception_type) or "".join(reported[:1]) or presumed or status


def _has_run_out_of_memory(invocation: Invocation, status: str) -> bool:
    if status in ("", SUCCESS):
        # In the log of a successful invocation, a mention of memory alone proves nothing.
        return invocation.has_run_out_of_memory and invocation.exception_type != ""
    report = invocation.report
    has_used_all = report is not None and 0 < (report.memory_size_bytes or 0) <= (report.max_memory_used_bytes or 0)
    return has_used_all or invocation.has_run_out_of_memory or OUT_OF_MEMORY in _reported_errors(invocation)


def _reported_errors(invocation: Invocation) -> list[str]:
    return [event.error_type for event in (invocation.done, invocation.report) if event and event.error_type]
