"""Builds batches of any shape."""

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch

_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def batch(signal: str, items: int, *, padding: str = "") -> Batch:
    """Build a batch of *items* items of one scope or metric; the timestamp of each item is its number."""
    return batch_of(signal, [[items]], padding=padding)


def batch_of(signal: str, shape: Sequence[Sequence[int]], *, padding: str = "") -> Batch:
    """Build a batch with *shape[resource][scope]* items; data points have a metric in place of the scope."""
    request, numbers = _FILLERS[signal](shape, padding)
    return Batch(signal, request.SerializeToString(), numbers)


def _logs(shape: Sequence[Sequence[int]], padding: str) -> tuple[Any, int]:
    request, number = ExportLogsServiceRequest(), 0
    for index, scopes in enumerate(shape):
        resource = request.resource_logs.add(schema_url=f"resource {index}")
        for scope_index, size in enumerate(scopes):
            scope = resource.scope_logs.add(schema_url=f"scope {scope_index}")
            for _ in range(size):
                scope.log_records.add(time_unix_nano=number).body.string_value = padding
                number += 1
    return request, number


def _spans(shape: Sequence[Sequence[int]], padding: str) -> tuple[Any, int]:
    request, number = ExportTraceServiceRequest(), 0
    for index, scopes in enumerate(shape):
        resource = request.resource_spans.add(schema_url=f"resource {index}")
        for scope_index, size in enumerate(scopes):
            scope = resource.scope_spans.add(schema_url=f"scope {scope_index}")
            for _ in range(size):
                scope.spans.add(start_time_unix_nano=number, name=padding)
                number += 1
    return request, number


def _metrics(shape: Sequence[Sequence[int]], padding: str) -> tuple[Any, int]:
    request, number = ExportMetricsServiceRequest(), 0
    for index, sizes in enumerate(shape):
        scope = request.resource_metrics.add(schema_url=f"resource {index}").scope_metrics.add()
        for metric_index, size in enumerate(sizes):
            metric = scope.metrics.add(name=f"metric {metric_index}", description=padding)
            data = getattr(metric, _KINDS[metric_index % len(_KINDS)])
            data.SetInParent()
            for _ in range(size):
                data.data_points.add(time_unix_nano=number)
                number += 1
    return request, number


_FILLERS: dict[str, Callable[[Sequence[Sequence[int]], str], tuple[Any, int]]] = {
    LOGS: _logs,
    SPANS: _spans,
    METRICS: _metrics,
}
