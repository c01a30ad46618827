"""Platform events of Lambda -> records. Pure; never raises.

Every field is optional, whatever the documentation promises, and a field of the wrong type counts as absent: it is
still in `Event.fields`, and so in the log record. Milliseconds become seconds here, and MB become bytes.
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from telemetry_forwarder.telemetry.records import (
    Event,
    ExtensionState,
    InitReport,
    InitRuntimeDone,
    InitStart,
    LogsDropped,
    PhaseSpan,
    Report,
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    RuntimeDone,
    Start,
    Tracing,
)
from telemetry_forwarder.telemetry.timestamps import parse_time_ns
from telemetry_forwarder.telemetry.trace_context import parse_tracing

# Lambda's MB are MiB: 128 MB in the console are 134,217,728 bytes.
_MB = 1_048_576
# `instanceMaxMemory` is in bytes in every capture and in MB in the documentation's sample.
_MAX_INSTANCE_MB = 65_536
# Thirty years, a petabyte: larger numbers are invalid, and sums of them could exceed OTLP's 64 bits.
_MAX_SECONDS = 1e9
_MAX_COUNT = 1 << 50

_CLASSES: dict[str, type[Event]] = {
    "platform.initStart": InitStart,
    "platform.initRuntimeDone": InitRuntimeDone,
    "platform.initReport": InitReport,
    "platform.start": Start,
    "platform.runtimeDone": RuntimeDone,
    "platform.report": Report,
    "platform.restoreStart": RestoreStart,
    "platform.restoreRuntimeDone": RestoreRuntimeDone,
    "platform.restoreReport": RestoreReport,
    "platform.extension": ExtensionState,
    "platform.logsDropped": LogsDropped,
}


def read_event(
    type_: str, fields: Any, *, time_ns: int, observed_ns: int, extra: Mapping[str, Any] | None = None
) -> Event:
    """Return the record of a platform event; a plain `Event` if its type is unknown."""
    class_ = _CLASSES.get(type_, Event)
    object_ = _Object(fields if isinstance(fields, dict) else {})
    own_fields = {name: _READERS[name](object_) for name in _own_names(class_)}
    return class_(type=type_, time_ns=time_ns, observed_ns=observed_ns, fields=fields, extra=extra, **own_fields)


def _own_names(class_: type[Event]) -> tuple[str, ...]:
    """Return the names of the fields that *class_* adds to those of every event."""
    return class_.__match_args__[len(Event.__match_args__) :]


class _Object:
    """A JSON object whose values of the wrong type count as absent."""

    __slots__ = ("_members",)

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members

    def text(self, name: str) -> str:
        value = self._members.get(name)
        return value if isinstance(value, str) else ""

    def inner(self, name: str) -> "_Object":
        value = self._members.get(name)
        return _Object(value if isinstance(value, dict) else {})

    def seconds(self, name: str) -> float | None:
        """Return a number of milliseconds as seconds."""
        number = self._number(name, maximum=_MAX_SECONDS * 1_000)
        # Rounded, so that 18.074 ms do not become 0.018074000000000003 s.
        return None if number is None else round(number / 1_000, 12)

    def count(self, name: str, *, unit: int = 1) -> int | None:
        number = self._number(name, maximum=_MAX_COUNT / unit)
        return None if number is None else round(number * unit)

    def instance_memory_bytes(self) -> int:
        memory = self.count("instanceMaxMemory") or 0
        return memory * _MB if memory < _MAX_INSTANCE_MB else memory

    def tracing(self) -> Tracing:
        tracing = self.inner("tracing")
        return parse_tracing(tracing.text("value"), own_span_id=tracing.text("spanId"))

    def spans(self) -> tuple[PhaseSpan, ...]:
        spans = self._members.get("spans")
        found = [_phase_span(span) for span in spans] if isinstance(spans, list) else []
        return tuple(span for span in found if span is not None)

    def _number(self, name: str, *, maximum: float) -> float | None:
        value = self._members.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # The comparison is false for NaN, too.
        return value if 0 <= value <= maximum else None


def _phase_span(span: Any) -> PhaseSpan | None:
    if not isinstance(span, dict):
        return None
    object_ = _Object(span)
    start_ns = parse_time_ns(span.get("start"))
    duration_s, name = object_.seconds("durationMs"), object_.text("name")
    if not start_ns or duration_s is None or not name:
        return None
    return PhaseSpan(name=name, start_ns=start_ns, duration_s=duration_s)


_Reader = Callable[[_Object], Any]


def _text(name: str) -> _Reader:
    return lambda fields: fields.text(name)


def _seconds(name: str) -> _Reader:
    return lambda fields: fields.inner("metrics").seconds(name)


def _metric(name: str, *, unit: int = 1) -> _Reader:
    return lambda fields: fields.inner("metrics").count(name, unit=unit)


def _count(name: str) -> _Reader:
    return lambda fields: fields.count(name) or 0


# A field has the same source in every event that has it.
_READERS: dict[str, _Reader] = {
    "billed_duration_s": _seconds("billedDurationMs"),
    "billed_restore_duration_s": _seconds("billedRestoreDurationMs"),
    "dropped_bytes": _count("droppedBytes"),
    "dropped_records": _count("droppedRecords"),
    "duration_s": _seconds("durationMs"),
    "error_type": _text("errorType"),
    "function_arn": _text("functionArn"),
    "init_duration_s": _seconds("initDurationMs"),
    "initialization_type": _text("initializationType"),
    "instance_id": _text("instanceId"),
    "instance_max_memory_bytes": _Object.instance_memory_bytes,
    "max_memory_used_bytes": _metric("maxMemoryUsedMB", unit=_MB),
    "memory_size_bytes": _metric("memorySizeMB", unit=_MB),
    "name": _text("name"),
    "phase": _text("phase"),
    "produced_bytes": _metric("producedBytes"),
    "reason": _text("reason"),
    "request_id": _text("requestId"),
    "restore_duration_s": _seconds("restoreDurationMs"),
    "runtime_version": _text("runtimeVersion"),
    "spans": _Object.spans,
    "state": _text("state"),
    "status": _text("status"),
    "tenant_id": _text("tenantId"),
    "tracing": _Object.tracing,
    "version": _text("version"),
}
