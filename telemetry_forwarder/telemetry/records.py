"""Telemetry records: one class for each record type of the Telemetry API, with the fields that are used.

Times are int nanoseconds since the epoch, 0 if Lambda sent no valid time; durations are float seconds and sizes are
bytes. `Event.fields` stays unconverted: `otlp.platform_attributes` converts it.
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from collections.abc import Mapping
from typing import Any, Final

from telemetry_forwarder.core.frozen import comparable, frozen


@comparable
class LogLine:
    """A log line of the function or of an extension."""

    __slots__ = ("extra", "observed_ns", "origin", "record", "time_ns")

    def __init__(
        self, origin: str, time_ns: int, record: Any, observed_ns: int, extra: Mapping[str, Any] | None = None
    ) -> None:
        # By position, because one is made for each line and keyword arguments take as long as all the rest.
        self.origin: Final = origin
        """`function` or `extension`."""
        self.record: Final = record
        """Any JSON value, as received; a str in the text log format."""
        self.time_ns: Final = time_ns
        self.observed_ns: Final = observed_ns
        self.extra: Final = extra
        """The other members of the envelope: unknown ones, and a `time` that is not a valid time."""


@frozen
class Malformed:
    """Bytes that are not a record, kept as text so that nothing is lost."""

    observed_ns: int
    text: str


@frozen
class Tracing:
    """A parsed X-Ray tracing header. A part that is absent or invalid is an empty string."""

    trace_id: str = ""
    """32 hex digits, from `Root`."""
    parent_id: str = ""
    """16 hex digits, from `Parent`: the segment of the Lambda service, or of the caller."""
    span_id: str = ""
    """16 hex digits, Lambda's own `spanId` for this invocation."""
    is_sampled: bool | None = None


@frozen
class PhaseSpan:
    """An element of a record's `spans`: a phase that Lambda measured."""

    name: str
    start_ns: int
    duration_s: float


@frozen
class Event:
    """The members that all platform events have; by itself, an event of an unknown type."""

    type: str
    time_ns: int
    observed_ns: int
    fields: Any
    """`record` as received, complete, so that unknown fields are not lost."""
    extra: Mapping[str, Any] | None = None
    """The other members of the envelope, as for `LogLine`."""

    @property
    def moment_ns(self) -> int:
        """When it happened or, if that is unknown, when it was received."""
        return self.time_ns or self.observed_ns


@frozen
class InitStart(Event):
    initialization_type: str = ""
    phase: str = ""
    instance_id: str = ""
    runtime_version: str = ""


@frozen
class RestoreStart(Event):
    """A snapshot is about to be restored."""

    instance_id: str = ""


@frozen
class Start(Event):
    request_id: str = ""
    function_arn: str = ""
    tenant_id: str = ""
    tracing: Tracing = Tracing()


@frozen
class End(Event):
    """The fields of all events that report how an init, a restore or an invocation has ended."""

    status: str = ""
    error_type: str = ""
    duration_s: float | None = None
    spans: tuple[PhaseSpan, ...] = ()


@frozen
class InitRuntimeDone(End):
    initialization_type: str = ""
    phase: str = ""


@frozen
class InitReport(End):
    initialization_type: str = ""
    phase: str = ""


@frozen
class RestoreRuntimeDone(End):
    """The runtime has finished its part of a restore."""


@frozen
class RestoreReport(End):
    """A restore has ended."""


@frozen
class RuntimeDone(End):
    request_id: str = ""
    tenant_id: str = ""
    produced_bytes: int | None = None
    tracing: Tracing = Tracing()


@frozen
class Report(End):
    request_id: str = ""
    tenant_id: str = ""
    billed_duration_s: float | None = None
    memory_size_bytes: int | None = None
    max_memory_used_bytes: int | None = None
    restore_duration_s: float | None = None
    init_duration_s: float | None = None
    """Of the init that this invocation waited for."""
    tracing: Tracing = Tracing()


@frozen
class ExtensionState(Event):
    state: str = ""
    error_type: str = ""


@frozen
class LogsDropped(Event):
    dropped_records: int = 0
    dropped_bytes: int = 0


Record = LogLine | Event | Malformed
