"""Completed invocations and phases, from which spans and metrics are made. Pure data."""

from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.telemetry.records import Event, PhaseSpan, Tracing

SUCCESS, TIMEOUT, ERROR = "success", "timeout", "error"
OUT_OF_MEMORY = "Runtime.OutOfMemory"


@frozen
class CompletedInvocation:
    """An invocation that has ended."""

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
    """Lambda's status; empty if Lambda never reported one."""
    error_type: str
    """Empty if no failure is known. A handler's exception is one, although Lambda's status is success."""
    has_run_out_of_memory: bool
    duration_s: float | None
    produced_bytes: int | None
    spans: tuple[PhaseSpan, ...]
    error_message: str = ""
    """Of the exception in the log; empty if there is none."""
    execution: str = ""
    """`name/id` of the durable execution that it was a part of."""
    events: tuple[Event, ...] = ()
    """Those that had arrived: platform.start, runtimeDone and report, in this order."""
    waits_since_ns: int = 0
    """When the init or restore began that it waited for; 0 if there was none."""

    @property
    def is_sampled(self) -> bool | None:
        return self.tracing.is_sampled


@frozen
class CompletedPhase:
    """An init or a restore that has ended."""

    kind: str
    """`init` or `restore`."""
    phase: str
    """Of an init: `init`, `invoke` (suppressed: repeated inside an invocation), `snap-start`."""
    initialization_type: str
    trace_id: str
    span_id: str
    parent_span_id: str
    """The span of the invocation that it preceded; empty if there is none."""
    is_sampled: bool | None
    start_ns: int
    end_ns: int
    runtime_done_ns: int
    """0 if Lambda did not report it."""
    duration_s: float | None
    status: str
    error_type: str
    spans: tuple[PhaseSpan, ...]
    error_message: str = ""
    """Of the exception that was logged during it; empty if there is none."""
    events: tuple[Event, ...] = ()
    """Those that had arrived, in that order."""
    is_late_cold_start: bool = False
    """Whether its invocation was taken before, without being known as a cold start."""

    @property
    def failure(self) -> str:
        """Why it failed; empty if it did not."""
        return self.error_type or ("" if self.status == SUCCESS else self.status)


@frozen
class LateSpans:
    """What Lambda reported of an invocation after it was taken: phases, or that it was a cold start."""

    request_id: str
    trace_id: str
    parent_span_id: str
    is_sampled: bool | None
    spans: tuple[PhaseSpan, ...]
    report: Event | None = None
    is_late_cold_start: bool = False


Completed = CompletedInvocation | CompletedPhase | LateSpans
