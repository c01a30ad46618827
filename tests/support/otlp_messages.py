"""Reads OTLP messages as Python values, and builds attribute values as messages to compare with."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

LOGS, SPANS, METRICS = "/v1/logs", "/v1/traces", "/v1/metrics"

REQUESTS: dict[str, Any] = {
    LOGS: logs_service.ExportLogsServiceRequest,
    SPANS: trace_service.ExportTraceServiceRequest,
    METRICS: metrics_service.ExportMetricsServiceRequest,
}
RESPONSES: dict[str, tuple[Any, str]] = {
    LOGS: (logs_service.ExportLogsServiceResponse, "rejected_log_records"),
    SPANS: (trace_service.ExportTraceServiceResponse, "rejected_spans"),
    METRICS: (metrics_service.ExportMetricsServiceResponse, "rejected_data_points"),
}

# (resource attributes, scope, LogRecord | Span | Metric)
Flat = tuple[dict[str, Any], Any, Any]


def log_records(message: Any) -> list[Flat]:
    return [
        (attributes(resource.resource.attributes), scope.scope, record)
        for resource in message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def spans(message: Any) -> list[Flat]:
    return [
        (attributes(resource.resource.attributes), scope.scope, span)
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def metrics(message: Any) -> list[Flat]:
    return [
        (attributes(resource.resource.attributes), scope.scope, metric)
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if len(points(metric))
    ]


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return OTLP attributes as Python values; int and float, bytes and str stay distinct."""
    return {pair.key: plain(pair.value) for pair in pairs}


def plain(value: AnyValue) -> Any:
    """Return the Python value of an AnyValue; the empty one is None."""
    match kind := value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return attributes(value.kvlist_value.values)
        case _:
            return getattr(value, kind)


def any_value(value: Any) -> AnyValue:
    """Return the AnyValue for a JSON value; what OTLP has no type for is text."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int() if -(2**63) <= value < 2**63:
            return AnyValue(int_value=value)
        case float() if math.isfinite(value):
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=valid(value))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
        case list() | tuple():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case _:
            return AnyValue(string_value=repr(value))


def key_values(pairs: Mapping[str, Any]) -> list[KeyValue]:
    """Return Python values as OTLP attributes."""
    return [KeyValue(key=valid(key), value=any_value(value)) for key, value in pairs.items()]


def valid(text: str) -> str:
    """Return *text* with its lone surrogates, which UTF-8 cannot express, as escape sequences."""
    return "".join(f"\\u{ord(character):04x}" if "\ud800" <= character <= "\udfff" else character for character in text)


def count(message: Any) -> int:
    """Return the number of log records, spans or data points in *message*."""
    return sum(len(items) for items in item_lists(message))


def item_lists(message: Any) -> list[Any]:
    """Return the repeated fields that hold the log records, spans or data points of *message*."""
    match message:
        case logs_service.ExportLogsServiceRequest():
            return [scope.log_records for resource in message.resource_logs for scope in resource.scope_logs]
        case trace_service.ExportTraceServiceRequest():
            return [scope.spans for resource in message.resource_spans for scope in resource.scope_spans]
        case _:
            return [
                points(metric)
                for resource in message.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            ]


def points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def without_last(message: Any, number: int) -> Any:
    """Return a copy of *message* without its last *number* items; *message* itself if *number* is 0."""
    if not number:
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    for items in reversed(item_lists(copy)):
        removed = min(number, len(items))
        del items[len(items) - removed :]
        number -= removed
    return copy
