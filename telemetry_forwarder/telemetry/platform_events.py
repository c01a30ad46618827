"""Platform events of Lambda -> records: one reader per type. Pure; never raises.

Every field is optional, whatever the documentation says, and a field of the wrong kind counts as absent: it is
still in `Event.fields`, and so in the log record. Units end here: milliseconds become seconds, MB become bytes.
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
from telemetry_forwarder.telemetry.timestamps import time_ns
from telemetry_forwarder.telemetry.trace_context import read_tracing

# Lambda's MB are MiB: 128 MB in the console are 134,217,728 bytes.
_MB = 1_048_576
# `instanceMaxMemory` is bytes in every capture and MB in the documentation's sample.
_LARGEST_IN_MB = 65_536
# Thirty years, a petabyte: beyond it a number is nonsense, and sums of it could leave OTLP's 64 bits.
_LONGEST_S = 1e9
_LARGEST = 1 << 50


def read_event(
    type_: str, at_ns: int, observed_ns: int, fields: Any, extra: Mapping[str, Any] | None = None
) -> Event:
    """The record of a platform event; a bare `Event` for a type that we do not know."""
    head = (type_, at_ns, observed_ns, fields, extra)
    reader = _READERS.get(type_)
    if reader is None:
        return Event(*head)
    return reader(head, _Fields(fields if isinstance(fields, dict) else {}))


class _Fields:
    """Looks into a JSON object, and takes nothing of the wrong kind out of it."""

    __slots__ = ("_object",)

    def __init__(self, object_: dict[str, Any]) -> None:
        self._object = object_

    def text(self, name: str) -> str:
        value = self._object.get(name)
        return value if isinstance(value, str) else ""

    def inner(self, name: str) -> "_Fields":
        value = self._object.get(name)
        return _Fields(value if isinstance(value, dict) else {})

    def seconds(self, name: str) -> float | None:
        """From a name in milliseconds."""
        number = self._number(name, most=_LONGEST_S * 1_000)
        # Rounded, so that 18.074 ms do not become 0.018074000000000003 s.
        return None if number is None else round(number / 1_000, 12)

    def count(self, name: str, *, unit: int = 1) -> int | None:
        number = self._number(name, most=_LARGEST / unit)
        return None if number is None else round(number * unit)

    def tracing(self) -> Tracing:
        tracing = self.inner("tracing")
        return read_tracing(tracing.text("value"), tracing.text("spanId"))

    def spans(self) -> tuple[PhaseSpan, ...]:
        spans = self._object.get("spans")
        found = [_phase_span(span) for span in spans] if isinstance(spans, list) else []
        return tuple(span for span in found if span is not None)

    def _number(self, name: str, *, most: float) -> float | None:
        value = self._object.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # False for NaN, too.
        return value if 0 <= value <= most else None


_Head = tuple[str, int, int, Any, Mapping[str, Any] | None]


def _init_start(head: _Head, fields: _Fields) -> Event:
    return InitStart(
        *head,
        initialization_type=fields.text("initializationType"),
        phase=fields.text("phase"),
        function_arn=fields.text("functionArn"),
        instance_id=fields.text("instanceId"),
        instance_max_memory_bytes=_instance_memory(fields),
        runtime_version=fields.text("runtimeVersion"),
    )


def _init_runtime_done(head: _Head, fields: _Fields) -> Event:
    return InitRuntimeDone(
        *head,
        initialization_type=fields.text("initializationType"),
        phase=fields.text("phase"),
        status=fields.text("status"),
        error_type=fields.text("errorType"),
        spans=fields.spans(),
    )


def _init_report(head: _Head, fields: _Fields) -> Event:
    return InitReport(
        *head,
        initialization_type=fields.text("initializationType"),
        phase=fields.text("phase"),
        status=fields.text("status"),
        error_type=fields.text("errorType"),
        duration_s=fields.inner("metrics").seconds("durationMs"),
        spans=fields.spans(),
    )


def _start(head: _Head, fields: _Fields) -> Event:
    return Start(
        *head,
        request_id=fields.text("requestId"),
        version=fields.text("version"),
        function_arn=fields.text("functionArn"),
        tenant_id=fields.text("tenantId"),
        tracing=fields.tracing(),
    )


def _runtime_done(head: _Head, fields: _Fields) -> Event:
    metrics = fields.inner("metrics")
    return RuntimeDone(
        *head,
        request_id=fields.text("requestId"),
        status=fields.text("status"),
        error_type=fields.text("errorType"),
        tenant_id=fields.text("tenantId"),
        duration_s=metrics.seconds("durationMs"),
        produced_bytes=metrics.count("producedBytes"),
        spans=fields.spans(),
        tracing=fields.tracing(),
    )


def _report(head: _Head, fields: _Fields) -> Event:
    metrics = fields.inner("metrics")
    return Report(
        *head,
        request_id=fields.text("requestId"),
        status=fields.text("status"),
        error_type=fields.text("errorType"),
        tenant_id=fields.text("tenantId"),
        duration_s=metrics.seconds("durationMs"),
        billed_duration_s=metrics.seconds("billedDurationMs"),
        memory_size_bytes=metrics.count("memorySizeMB", unit=_MB),
        max_memory_used_bytes=metrics.count("maxMemoryUsedMB", unit=_MB),
        init_duration_s=metrics.seconds("initDurationMs"),
        restore_duration_s=metrics.seconds("restoreDurationMs"),
        billed_restore_duration_s=metrics.seconds("billedRestoreDurationMs"),
        spans=fields.spans(),
        tracing=fields.tracing(),
    )


def _restore_start(head: _Head, fields: _Fields) -> Event:
    return RestoreStart(
        *head,
        instance_id=fields.text("instanceId"),
        instance_max_memory_bytes=_instance_memory(fields),
        runtime_version=fields.text("runtimeVersion"),
    )


def _restore_runtime_done(head: _Head, fields: _Fields) -> Event:
    return RestoreRuntimeDone(
        *head, status=fields.text("status"), error_type=fields.text("errorType"), spans=fields.spans()
    )


def _restore_report(head: _Head, fields: _Fields) -> Event:
    return RestoreReport(
        *head,
        status=fields.text("status"),
        error_type=fields.text("errorType"),
        duration_s=fields.inner("metrics").seconds("durationMs"),
        spans=fields.spans(),
    )


def _extension_state(head: _Head, fields: _Fields) -> Event:
    return ExtensionState(
        *head, name=fields.text("name"), state=fields.text("state"), error_type=fields.text("errorType")
    )


def _logs_dropped(head: _Head, fields: _Fields) -> Event:
    return LogsDropped(
        *head,
        dropped_records=fields.count("droppedRecords") or 0,
        dropped_bytes=fields.count("droppedBytes") or 0,
        reason=fields.text("reason"),
    )


_READERS: dict[str, Callable[[_Head, _Fields], Event]] = {
    "platform.initStart": _init_start,
    "platform.initRuntimeDone": _init_runtime_done,
    "platform.initReport": _init_report,
    "platform.start": _start,
    "platform.runtimeDone": _runtime_done,
    "platform.report": _report,
    "platform.restoreStart": _restore_start,
    "platform.restoreRuntimeDone": _restore_runtime_done,
    "platform.restoreReport": _restore_report,
    "platform.extension": _extension_state,
    "platform.logsDropped": _logs_dropped,
}


def _phase_span(span: Any) -> PhaseSpan | None:
    if not isinstance(span, dict):
        return None
    fields = _Fields(span)
    start_ns, duration_s, name = time_ns(span.get("start")), fields.seconds("durationMs"), fields.text("name")
    if not start_ns or duration_s is None or not name:
        return None
    return PhaseSpan(name, start_ns, duration_s)


def _instance_memory(fields: _Fields) -> int:
    memory = fields.count("instanceMaxMemory") or 0
    return memory * _MB if memory < _LARGEST_IN_MB else memory
