"""What Lambda tells us: one class per shape of telemetry record.

Moments are int nanoseconds since the epoch, 0 where Lambda gave none that makes sense; durations are float
seconds and sizes are bytes: Lambda's milliseconds and MB end where a record is read.
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from collections.abc import Mapping
from typing import Any, Final

from telemetry_forwarder.core.frozen import comparable, frozen


@comparable
class LogLine:
    """A line of the function or of an extension."""

    __slots__ = ("origin", "time_ns", "observed_ns", "record", "extra")  # noqa: RUF023  # their order is their place

    def __init__(
        self,
        origin: str,
        time_ns: int,
        observed_ns: int,
        record: Any,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.origin: Final = origin
        """`function` or `extension`."""
        self.time_ns: Final = time_ns
        self.observed_ns: Final = observed_ns
        self.record: Final = record
        """Any JSON value, as Lambda gave it; a str in the text log format."""
        self.extra: Final = extra
        """What else the envelope says: members that we do not know, and a `time` that is no moment."""


@frozen
class Malformed:
    """Bytes that are no record. Kept as text, so that nothing is lost."""

    observed_ns: int
    text: str


@frozen
class Tracing:
    """The X-Ray header of an invocation, taken apart. Empty strings where a part is absent or invalid."""

    trace_id: str = ""
    """32 hex digits, from `Root`."""
    parent_id: str = ""
    """16 hex digits, from `Parent`: the segment of the Lambda service, or of the caller."""
    span_id: str = ""
    """16 hex digits, Lambda's own `spanId` for this invocation."""
    is_sampled: bool | None = None
    lineage: str = ""


@frozen
class PhaseSpan:
    """One of the `spans` of a record: a phase that Lambda measured."""

    name: str
    start_ns: int
    duration_s: float


@frozen
class Event:
    """What all platform events have; by itself, an event of a type that we do not know."""

    type: str
    time_ns: int
    observed_ns: int
    fields: Any
    """`record` as Lambda gave it, whole: nothing that we fail to understand is lost."""
    extra: Mapping[str, Any] | None = None
    """What else the envelope says, as for `LogLine`."""

    @property
    def moment_ns(self) -> int:
        """When it happened, or at least when we heard of it."""
        return self.time_ns or self.observed_ns


@frozen
class InitStart(Event):
    initialization_type: str = ""
    phase: str = ""
    function_arn: str = ""
    instance_id: str = ""
    instance_max_memory_bytes: int = 0
    runtime_version: str = ""


@frozen
class InitRuntimeDone(Event):
    initialization_type: str = ""
    phase: str = ""
    status: str = ""
    error_type: str = ""
    spans: tuple[PhaseSpan, ...] = ()


@frozen
class InitReport(Event):
    initialization_type: str = ""
    phase: str = ""
    status: str = ""
    error_type: str = ""
    duration_s: float | None = None
    spans: tuple[PhaseSpan, ...] = ()


@frozen
class Start(Event):
    request_id: str = ""
    version: str = ""
    function_arn: str = ""
    tenant_id: str = ""
    tracing: Tracing = Tracing()


@frozen
class RuntimeDone(Event):
    request_id: str = ""
    status: str = ""
    error_type: str = ""
    tenant_id: str = ""
    duration_s: float | None = None
    produced_bytes: int | None = None
    spans: tuple[PhaseSpan, ...] = ()
    tracing: Tracing = Tracing()


@frozen
class Report(Event):
    request_id: str = ""
    status: str = ""
    error_type: str = ""
    tenant_id: str = ""
    duration_s: float | None = None
    billed_duration_s: float | None = None
    memory_size_bytes: int | None = None
    max_memory_used_bytes: int | None = None
    init_duration_s: float | None = None
    restore_duration_s: float | None = None
    billed_restore_duration_s: float | None = None
    spans: tuple[PhaseSpan, ...] = ()
    tracing: Tracing = Tracing()


@frozen
class RestoreStart(Event):
    instance_id: str = ""
    instance_max_memory_bytes: int = 0
    runtime_version: str = ""


@frozen
class RestoreRuntimeDone(Event):
    status: str = ""
    error_type: str = ""
    spans: tuple[PhaseSpan, ...] = ()


@frozen
class RestoreReport(Event):
    status: str = ""
    error_type: str = ""
    duration_s: float | None = None
    spans: tuple[PhaseSpan, ...] = ()


@frozen
class ExtensionState(Event):
    name: str = ""
    state: str = ""
    error_type: str = ""


@frozen
class LogsDropped(Event):
    dropped_records: int = 0
    dropped_bytes: int = 0
    reason: str = ""


Record = LogLine | Event | Malformed
