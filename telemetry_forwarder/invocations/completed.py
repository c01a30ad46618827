"""What is over, and how it went: what spans and metrics are made of. Pure data."""

from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.telemetry.records import PhaseSpan, Tracing

SUCCESS, TIMEOUT, FAILURE, ERROR = "success", "timeout", "failure", "error"
OUT_OF_MEMORY = "Runtime.OutOfMemory"


@frozen
class CompletedInvocation:
    """An invocation that is over."""

    request_id: str
    trace_id: str
    span_id: str
    tracing: Tracing
    arn: str
    tenant_id: str
    start_ns: int
    end_ns: int
    is_cold: bool
    status: str
    """Lambda's word; empty if Lambda never said how it ended."""
    error_type: str
    """Empty if it went well, as far as is known. A handler's exception counts, though Lambda's status is success."""
    has_run_out_of_memory: bool
    duration_s: float | None
    produced_bytes: int | None
    spans: tuple[PhaseSpan, ...]


@frozen
class CompletedPhase:
    """An init or a restore that is over."""

    kind: str
    """`init` or `restore`."""
    phase: str
    """Of an init: `init`, `invoke` (suppressed: done once more inside an invocation), `snap-start`."""
    initialization_type: str
    trace_id: str
    span_id: str
    parent_span_id: str
    """The invocation's that it was made for; empty if it was made for none."""
    is_sampled: bool | None
    start_ns: int
    end_ns: int
    runtime_done_ns: int
    """0 if Lambda did not say."""
    duration_s: float | None
    status: str
    error_type: str
    spans: tuple[PhaseSpan, ...]


@frozen
class LateSpans:
    """Phases of an invocation that Lambda reported when the invocation itself had been given out."""

    request_id: str
    trace_id: str
    parent_span_id: str
    is_sampled: bool | None
    spans: tuple[PhaseSpan, ...]


Completed = CompletedInvocation | CompletedPhase | LateSpans
