"""Platform events of Lambda -> records. Pure; never raises.

Every field is optional, whatever the documentation promises, and a field of the wrong type counts as absent: it is
still in `Event.fields`, and so in the log record. The typed fields are in seconds and bytes;
`Event.fields` stays unconverted: `otlp.platform_attributes` converts it for log records.
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from telemetry_forwarder.telemetry import records
from telemetry_forwarder.telemetry.records import Event, PhaseSpan, Tracing
from telemetry_forwarder.telemetry.timestamps import parse_time_ns
from telemetry_forwarder.telemetry.trace_context import parse_tracing

# Lambda's MB are MiB: 128 MB in the console are 134,217,728 bytes.
_MB = 1_048_576
# Thirty years, a petabyte: larger numbers are invalid, and sums of them could exceed OTLP's 64 bits.
_MAX_SECONDS = 1e9
_MAX_COUNT = 1 << 50

_CLASSES: dict[str, type[Event]] = {
    "platform.initStart": records.InitStart,
    "platform.initRuntimeDone": records.InitRuntimeDone,
    "platform.initReport": records.InitReport,
    "platform.start": records.Start,
    "platform.runtimeDone": records.RuntimeDone,
    "platform.report": records.Report,
    "platform.restoreStart": records.RestoreStart,
    "platform.restoreRuntimeDone": records.RestoreRuntimeDone,
    "platform.restoreReport": records.RestoreReport,
    "platform.extension": records.ExtensionState,
    "platform.logsDropped": records.LogsDropped,
}


def read_event(
    type_: str, fields: Any, *, time_ns: int, observed_ns: int, extra: Mapping[str, Any] | None = None
) -> Event:
    """Return the record of a platform event; a plain `Event` if its type is unknown."""
    class_ = _CLASSES.get(type_, Event)
    object_ = _Object(fields)
    own_names = class_.__match_args__[len(Event.__match_args__) :]
    own_fields = {name: _READERS[name](object_) for name in own_names}
    return class_(type=type_, time_ns=time_ns, observed_ns=observed_ns, fields=fields, extra=extra, **own_fields)


class _Object:
    """A JSON object whose values of the wrong type count as absent; without members if it is not an object."""

    __slots__ = ("_members",)

    def __init__(self, value: Any) -> None:
        self._members: dict[str, Any] = value if isinstance(value, dict) else {}

    def text(self, name: str) -> str:
        value = self._members.get(name)
        return value if isinstance(value, str) else ""

    def inner(self, name: str) -> "_Object":
        return _Object(self._members.get(name))

    def seconds(self, name: str) -> float | None:
        """Return a number of milliseconds as seconds."""
        number = self._number(name, maximum=_MAX_SECONDS * 1_000)
        # Rounded, so that 18.074 ms do not become 0.018074000000000003 s.
        return None if number is None else round(number / 1_000, 12)

    def count(self, name: str, *, unit: int = 1) -> int | None:
        number = self._number(name, maximum=_MAX_COUNT / unit)
        return None if number is None else round(number * unit)

    def tracing(self) -> Tracing:
        tracing = self.inner("tracing")
        return parse_tracing(tracing.text("value"), own_span_id=tracing.text("spanId"))

    def spans(self) -> tuple[PhaseSpan, ...]:
        spans = self._members.get("spans")
        found = [_Object(span).phase_span() for span in spans] if isinstance(spans, list) else []
        return tuple(span for span in found if span is not None)

    def phase_span(self) -> PhaseSpan | None:
        start_ns = parse_time_ns(self._members.get("start"))
        duration_s, name = self.seconds("durationMs"), self.text("name")
        return PhaseSpan(name, start_ns, duration_s) if name and start_ns and duration_s is not None else None

    def _number(self, name: str, *, maximum: float) -> float | None:
        value = self._members.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # The comparison is false for NaN, too.
        return value if 0 <= value <= maximum else None


# A field has the same source in every event that has it.
_READERS: dict[str, Callable[[_Object], Any]] = {
    "billed_duration_s": lambda event: event.inner("metrics").seconds("billedDurationMs"),
    "dropped_bytes": lambda event: event.count("droppedBytes") or 0,
    "dropped_records": lambda event: event.count("droppedRecords") or 0,
    "duration_s": lambda event: event.inner("metrics").seconds("durationMs"),
    "error_type": lambda event: event.text("errorType"),
    "function_arn": lambda event: event.text("functionArn"),
    "initialization_type": lambda event: event.text("initializationType"),
    "instance_id": lambda event: event.text("instanceId"),
    "max_memory_used_bytes": lambda event: event.inner("metrics").count("maxMemoryUsedMB", unit=_MB),
    "memory_size_bytes": lambda event: event.inner("metrics").count("memorySizeMB", unit=_MB),
    "phase": lambda event: event.text("phase"),
    "produced_bytes": lambda event: event.inner("metrics").count("producedBytes"),
    "request_id": lambda event: event.text("requestId"),
    "restore_duration_s": lambda event: event.inner("metrics").seconds("restoreDurationMs"),
    "init_duration_s": lambda event: event.inner("metrics").seconds("initDurationMs"),
    "runtime_version": lambda event: event.text("runtimeVersion"),
    "spans": _Object.spans,
    "state": lambda event: event.text("state"),
    "status": lambda event: event.text("status"),
    "tenant_id": lambda event: event.text("tenantId"),
    "tracing": _Object.tracing,
}
