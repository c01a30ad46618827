"""Maps platform events to attributes, bodies and severities of log records. Pure; never raises.

Fields with a semantic convention get its name, all others are named `lambda.*`; none is left out. Units are seconds and
bytes, as in OpenTelemetry; a value that is not the expected number is kept unchanged.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from telemetry_forwarder.otlp.protobuf import MAX_INT, MIN_INT, escape_surrogates
from telemetry_forwarder.telemetry import records
from telemetry_forwarder.telemetry.json_values import write_json

DEBUG, INFO, WARN = 5, 9, 13
_FAILED_STATES = frozenset({"LaunchError", "InitError", "ExitError", "Crashed"})

_MS = 0.001
_MB = 1_048_576
# A larger number is not a measurement, and is kept unchanged.
_LARGEST = 1 << 50
# `instanceMaxMemory` is in bytes in every capture, in MB in the documentation's sample.
_LARGEST_IN_MB = 65_536

_NAMESPACE = "lambda."

# Lambda's name, with the objects around it -> our name, and the factor to our unit. Every other field is `lambda.` and
# Lambda's name.
ATTRIBUTES: dict[str, tuple[str, float]] = {
    "requestId": ("faas.invocation_id", 1),
    "version": ("faas.version", 1),
    "functionArn": ("aws.lambda.invoked_arn", 1),
    "functionName": ("faas.name", 1),
    "functionVersion": ("faas.version", 1),
    "instanceId": ("faas.instance", 1),
    "instanceMaxMemory": ("faas.max_memory", 1),
    "errorType": ("error.type", 1),
    "tenantId": ("lambda.tenant_id", 1),
    "initializationType": ("lambda.initialization_type", 1),
    "runtimeVersion": ("lambda.runtime_version", 1),
    "runtimeVersionArn": ("lambda.runtime_version_arn", 1),
    "tracing.spanId": ("lambda.tracing.span_id", 1),
    "metrics.durationMs": ("lambda.duration", _MS),
    "metrics.billedDurationMs": ("lambda.billed_duration", _MS),
    "metrics.initDurationMs": ("lambda.init_duration", _MS),
    "metrics.restoreDurationMs": ("lambda.restore_duration", _MS),
    "metrics.billedRestoreDurationMs": ("lambda.billed_restore_duration", _MS),
    "metrics.memorySizeMB": ("lambda.memory_size", _MB),
    "metrics.maxMemoryUsedMB": ("lambda.max_memory_used", _MB),
    "metrics.producedBytes": ("lambda.produced_bytes", 1),
    "name": ("lambda.extension.name", 1),
    "state": ("lambda.extension.state", 1),
    "events": ("lambda.extension.events", 1),
    "types": ("lambda.subscription.types", 1),
    "droppedRecords": ("lambda.dropped_records", 1),
    "droppedBytes": ("lambda.dropped_bytes", 1),
}
_NESTED = ("metrics", "tracing")

# Label in the body, Lambda's name with the objects around it, and unit: in this order.
_LABELS = (
    ("Name", "name", ""),
    ("State", "state", ""),
    ("Events", "events", ""),
    ("Types", "types", ""),
    ("Records", "droppedRecords", ""),
    ("Bytes", "droppedBytes", ""),
    ("Reason", "reason", ""),
    ("Version", "version", ""),
    ("Runtime", "runtimeVersion", ""),
    ("Type", "initializationType", ""),
    ("Phase", "phase", ""),
    ("Duration", "metrics.durationMs", " ms"),
    ("Billed", "metrics.billedDurationMs", " ms"),
    ("Produced", "metrics.producedBytes", " bytes"),
    ("Memory", "memory", " MB"),
    ("Init", "metrics.initDurationMs", " ms"),
    ("Restore", "metrics.restoreDurationMs", " ms"),
    ("Status", "status", ""),
    ("Error", "errorType", ""),
)
# What a span shows otherwise, if it has this type: as its ids, its status, its children or an attribute of its own. The
# version is that of the resource.
_SHOWN = {"status": str, "errorType": str, "spans": list}
_SHOWN_OF_PHASE = {**_SHOWN, "initializationType": str, "phase": str}
_SHOWN_OF_INVOCATION = {**_SHOWN, "requestId": str, "tenantId": str, "tracing": dict, "version": str}
_DURATION = "lambda.duration"
# Lambda's name of a measurement -> ours, and its name in a record.
_MEASUREMENTS = {
    name: (ATTRIBUTES[f"metrics.{name}"][0], field)
    for name, field in (
        ("durationMs", "duration_s"),
        ("billedDurationMs", "billed_duration_s"),
        ("memorySizeMB", "memory_size_bytes"),
        ("maxMemoryUsedMB", "max_memory_used_bytes"),
        ("producedBytes", "produced_bytes"),
        ("initDurationMs", "init_duration_s"),
        ("restoreDurationMs", "restore_duration_s"),
    )
}
_EMPTY: tuple[Any, ...] = (None, "", {}, [])
_CAPITAL = re.compile("(?=[A-Z])")
# Lambda's word in its own log.
_SUBSCRIPTION = "platform.telemetrySubscription"
# A longer value is complete in the attributes.
_MAX_CHARACTERS = 256


def map_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a platform event's log record."""
    attributes: dict[str, Any] = {}
    for key, value in _leaves(fields):
        name, factor = ATTRIBUTES.get(key, (_NAMESPACE + key, 1))
        while name in attributes:
            # Two of Lambda's names may map to one of ours.
            name += "_"
        attributes[name] = _in_our_unit(key, value, factor)
    return attributes


def map_envelope(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the attributes for the members of an envelope other than type, time and record."""
    return {f"{_NAMESPACE}envelope.{key}": value for key, value in extra.items()} if extra else {}


def map_unshown(events: Iterable[records.Event]) -> dict[str, str | bool | int | float]:
    """Return attributes for what *events* say and their span does not show otherwise, as on their log records.

    If two events have the same field, the later one's counts: the report's duration includes that of the function.
    """
    attributes: dict[str, str | bool | int | float] = {}
    for event in events:
        shown = _SHOWN_OF_INVOCATION if hasattr(event, "request_id") else _SHOWN_OF_PHASE
        # What is no object becomes a log record.
        fields = event.fields if isinstance(event.fields, dict) else {}
        rest = {key: value for key, value in fields.items() if shown.get(key) is not type(value)}
        if type(rest.get("metrics")) is dict:
            _move_measurements(event, rest, attributes)
        if rest or event.extra:
            others = map_fields(rest) | map_envelope(event.extra)
            attributes |= {
                escape_surrogates(key): _scalar(value) for key, value in others.items() if value not in _EMPTY
            }
    return attributes


def _move_measurements(event: records.Event, fields: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Move what *event* has in our units from the metrics in *fields* to *attributes*."""
    others = {}
    for key, value in fields.pop("metrics").items():
        name, field = _MEASUREMENTS.get(key, ("", ""))
        if (measured := getattr(event, field, None)) is None:
            others[key] = value
        else:
            attributes[name] = measured
    if others:
        fields["metrics"] = others
    if isinstance(event, records.RuntimeDone):
        # The duration of the function itself is the metric `faas.invoke_duration`.
        attributes.pop(_DURATION, None)


def _scalar(value: Any) -> str | bool | int | float:
    """Return *value* as the SDK's encoder accepts it: JSON instead of lists, objects and large integers."""
    is_scalar = isinstance(value, str | float) or (isinstance(value, int) and MIN_INT <= value <= MAX_INT)
    scalar: str | bool | int | float = escape_surrogates(value if is_scalar else write_json(value))
    return scalar


def describe(event: records.Event) -> Any:
    """Return the body of a log record: a line like those of Lambda's own log; *event*'s record if it is no object."""
    fields = event.fields
    if not isinstance(fields, dict):
        return fields
    name = event.type.removeprefix("platform.")
    head = "TELEMETRY" if event.type == _SUBSCRIPTION else _CAPITAL.sub("_", name).upper()
    if event.type == "platform.start":
        # All lines of an invocation can be found by it; on the other events it is an attribute alone.
        head += f" RequestId: {_text(fields.get('requestId'))}"
    values = dict(_leaves(fields))
    used_mb, size_mb = values.get("metrics.maxMemoryUsedMB"), values.get("metrics.memorySizeMB")
    values["memory"] = " of ".join([_text(value) for value in (used_mb, size_mb) if value is not None])
    if values.get("status") == "success":
        del values["status"]
    parts = [(label, _text(values[key]), unit) for label, key, unit in _LABELS if key in values]
    return " ".join([head, *[f"{label}: {text}{unit}" for label, text, unit in parts if text]])


def _text(value: Any) -> str:
    """Return *value* for a reader; empty for null."""
    items = value[:_MAX_CHARACTERS] if isinstance(value, list) else () if value is None else (value,)
    return ", ".join(map(_item, items))[:_MAX_CHARACTERS]


def _item(value: Any) -> str:
    if isinstance(value, float):
        # As many decimals as Lambda sends.
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return value if isinstance(value, str) else write_json(value)


def _leaves(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in fields.items():
        if key in _NESTED and isinstance(value, Mapping) and value:
            for inner, inner_value in value.items():
                yield f"{key}.{inner}", inner_value
        else:
            yield key, value


def _in_our_unit(key: str, value: Any, factor: float) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -_LARGEST < value < _LARGEST:
        return value
    if key == "instanceMaxMemory" and 0 < value < _LARGEST_IN_MB:
        factor = _MB
    if factor == _MB:
        return round(value * _MB)
    # Rounded, so that 18.074 ms does not become 0.018074000000000003 s.
    return round(value / 1_000, 12) if factor == _MS else value


def find_severity(event: records.Event) -> int:
    """Return the level that Lambda's own system log gives this event; it depends on the outcome.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    match event:
        case records.ExtensionState():
            return WARN if event.error_type or event.state in _FAILED_STATES else INFO
        case records.End() if event.status not in ("", "success"):
            return WARN
        case records.InitRuntimeDone() | records.RuntimeDone() | records.RestoreRuntimeDone():
            return DEBUG
        case records.InitReport():
            return DEBUG if event.initialization_type in ("", "on-demand") else INFO
        case records.InitStart():
            return INFO if event.runtime_version else DEBUG
        case records.LogsDropped() | records.Event(type="platform.fault"):
            return WARN
        case _:
            return INFO
