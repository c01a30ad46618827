"""OTLP messages as tests look at them: which type belongs to which path, what is inside, as Python values."""

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

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
    """OTLP attributes as Python values; int and float, bytes and str stay apart."""
    return {pair.key: plain(pair.value) for pair in pairs}


def plain(value: AnyValue) -> Any:
    """An AnyValue as the Python value it stands for; the empty one is None."""
    match kind := value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return attributes(value.kvlist_value.values)
        case _:
            return getattr(value, kind)


def count(message: Any) -> int:
    """How many log records, spans or data points are in *message*."""
    return sum(len(items) for items in item_lists(message))


def item_lists(message: Any) -> list[Any]:
    """The repeated fields that hold what is counted: log records, spans, or data points."""
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
    """A copy of *message* without its last *number* items; the message itself where nothing is to go."""
    if not number:
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    for items in reversed(item_lists(copy)):
        gone = min(number, len(items))
        del items[len(items) - gone :]
        number -= gone
    return copy
