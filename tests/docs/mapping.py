"""Writes the tables in docs/mapping.md, one by converting an event of each type: `python -m tests.docs.mapping`."""

import itertools
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.log_formats import json_keys
from telemetry_forwarder.otlp.instruments import INSTRUMENTS, MEMORY_SIZE
from telemetry_forwarder.settings import Settings
from tests.docs.pages import DOCS, write_block

PAGE = DOCS / "mapping.md"

_ID = "2f7a3b1c-0000-4000-8000-000000000001"
_TRACING = {
    "spanId": "54565fb41ac79632",
    "type": "X-Amzn-Trace-Id",
    "value": "Root=1-68e0e0e0-0123456789abcdef01234567;Parent=53995c3f42cd8ad8;Sampled=1",
}
_INSTANCE = {
    "functionName": "orders",
    "functionVersion": "7",
    "instanceId": "2026/09/22/orders[7]0123456789abcdef",
    "instanceMaxMemory": 134217728,
    "runtimeVersion": "python:3.13.v60",
    "runtimeVersionArn": "arn:aws:lambda:eu-west-1::runtime:0a1b",
}


def _span(name: str) -> dict[str, Any]:
    return {"name": name, "start": "2026-09-22T06:30:01.000Z", "durationMs": 2.5}


# One event of each type, with every field that Lambda is known to send.
SAMPLES: dict[str, Any] = {
    "platform.initStart": {"initializationType": "on-demand", "phase": "init", **_INSTANCE},
    "platform.initRuntimeDone": {"initializationType": "on-demand", "phase": "init", "status": "success"},
    "platform.initReport": {
        "initializationType": "on-demand",
        "phase": "init",
        "status": "success",
        "metrics": {"durationMs": 125.33},
    },
    "platform.restoreStart": _INSTANCE,
    "platform.restoreRuntimeDone": {"status": "success", "spans": []},
    "platform.restoreReport": {"status": "success", "metrics": {"durationMs": 15.19}},
    "platform.start": {"requestId": _ID, "version": "7", "tracing": _TRACING, "tenantId": "t-1"},
    "platform.runtimeDone": {
        "requestId": _ID,
        "status": "success",
        "metrics": {"durationMs": 209.5, "producedBytes": 17},
        "spans": [_span(name) for name in ("responseLatency", "responseDuration", "runtimeOverhead")],
        "tracing": _TRACING,
    },
    "platform.report": {
        "requestId": _ID,
        "status": "success",
        "metrics": {
            "durationMs": 258.12,
            "billedDurationMs": 722,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 96,
            "initDurationMs": 463.51,
            "restoreDurationMs": 200.5,
            "billedRestoreDurationMs": 201,
        },
        "spans": [_span("extensionOverhead")],
    },
    "platform.extension": {"name": "other", "state": "Ready", "events": ["INVOKE"]},
    "platform.telemetrySubscription": {"name": "other", "state": "Subscribed", "types": ["function"]},
    "platform.logsDropped": {"droppedRecords": 3, "droppedBytes": 99, "reason": "slow consumer"},
    "function": "[INFO]\t2026-09-22T06:30:01.100Z\t" + _ID + "\thello\n",
    "extension": "a line of another extension",
}


def table() -> str:
    """Return the table as Markdown."""
    rows = ["| Lambda event | log record (✓ by default) | spans | metrics |", "| --- | --- | --- | --- |"]
    conversion = {kind: _conversion(kind) for kind in ("all", "default")}
    for type_, record in SAMPLES.items():
        batches = _convert(conversion["all"], type_, record)
        is_default = any(batch.signal == LOGS for batch in _convert(conversion["default"], type_, record))
        metrics = _metrics(batches, is_report=type_ == "platform.report")
        log = ", ".join(_log_names(batches))
        rows.append(f"| `{type_}` | {'✓ ' if is_default else ''}{log} | {_cell(_spans(batches))} | {_cell(metrics)} |")
    return "\n".join(rows)


_KINDS = {
    json_keys.BODY: "body",
    json_keys.SEVERITY: "severity",
    json_keys.TIME: "time",
    json_keys.REQUEST_ID: "`faas.invocation_id`",
    json_keys.TRACE_ID: "trace id",
    json_keys.SPAN_ID: "span id",
    json_keys.ERROR_TYPE: "`exception.type`",
    json_keys.ERROR_MESSAGE: "`exception.message`",
    json_keys.STACK_TRACE: "`exception.stacktrace`",
    json_keys.ERROR: "an error object, or a text with a stack trace",
}


def keys_table() -> str:
    """Return the table of the keys of JSON lines as Markdown."""
    rows = ["| meaning | keys, in order of precedence |", "| --- | --- |"]
    for kind, meaning in _KINDS.items():
        keys = [f"`{key}`" for key, (_, of_key, _) in json_keys.FIELD_OF.items() if of_key == kind]
        rows.append(f"| {meaning} | {', '.join(keys)} |")
    return "\n".join(rows)


def metrics_table() -> str:
    """Return the table of the metrics of Lambda's events as Markdown."""
    rows = ["| metric | kind | unit | what it measures |", "| --- | --- | --- | --- |"]
    for name, instrument in INSTRUMENTS.items():
        kind = instrument.kind.name.lower()
        rows.append(f"| `{name}` | {kind} | `{instrument.unit}` | {instrument.description} |")
    return "\n".join(rows)


def _conversion(platform_logs: str) -> Converter:
    ids = itertools.count(1)
    return Converter(
        Settings({"TELEMETRY_FORWARDER_PLATFORM_LOGS": platform_logs}),
        Resource({"faas.name": "orders", "faas.version": "7"}),
        Ledger(),
        version="0",
        temporality="delta",
        is_managed=False,
        new_id=lambda size: f"{next(ids):0{size * 2}x}",
        unix_ns=lambda: 2,
    )


def _convert(conversion: Converter, type_: str, record: Any) -> list[Batch]:
    event = {"time": "2026-09-22T06:30:01.000Z", "type": type_, "record": record}
    return [*conversion.convert(orjson.dumps([event]), 1).batches, *conversion.collect(2)]


def _log_names(batches: list[Batch]) -> list[str]:
    for batch in batches:
        if batch.signal == LOGS:
            request = ExportLogsServiceRequest.FromString(batch.body)
            (record,) = request.resource_logs[0].scope_logs[0].log_records
            return [f"`{pair.key}`" for pair in record.attributes] or ["body"]
    return []


def _spans(batches: list[Batch]) -> list[str]:
    return [
        span.name
        for batch in batches
        if batch.signal == SPANS
        for of_resource in ExportTraceServiceRequest.FromString(batch.body).resource_spans
        for span in of_resource.scope_spans[0].spans
    ]


def _metrics(batches: list[Batch], *, is_report: bool) -> list[str]:
    return [
        metric.name
        for batch in batches
        if batch.signal == METRICS
        for of_resource in ExportMetricsServiceRequest.FromString(batch.body).resource_metrics
        for metric in of_resource.scope_metrics[0].metrics
        # A gauge is read again with every flush, whatever it was that came.
        if metric.name != MEMORY_SIZE or is_report
    ]


def _cell(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


if __name__ == "__main__":
    write_block(PAGE, "mapping", table())
    write_block(PAGE, "keys", keys_table())
    write_block(PAGE, "metrics", metrics_table())
