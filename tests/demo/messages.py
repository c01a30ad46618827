"""Builds what a receiver gets, for the tests of the demo. Moments are milliseconds after `START_NS`."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.demo.story import Message
from tests.support.otlp_messages import LOGS, METRICS, SPANS, key_values

START_NS = 1_795_000_000_000_000_000
TRACE = 0x6B0A68A3_42F7D8394934FF08BFA49D8F


def moment(ms: float) -> int:
    return START_NS + int(ms * 1e6)


def span(
    name: str,
    number: int,
    *,
    at: tuple[float, float],
    parent: int = 0,
    trace: int = TRACE,
    scope: str = "aws.lambda",
    error: str | None = None,
    **attributes: Any,
) -> Message:
    """Return a request with one span; *at* is its start and its end."""
    request = ExportTraceServiceRequest()
    of_scope = request.resource_spans.add().scope_spans.add()
    of_scope.scope.name = scope
    made = of_scope.spans.add(
        name=name,
        trace_id=trace.to_bytes(16),
        span_id=number.to_bytes(8),
        parent_span_id=parent.to_bytes(8) if parent else b"",
        start_time_unix_nano=moment(at[0]),
        end_time_unix_nano=moment(at[1]),
        attributes=key_values({key.replace("__", "."): value for key, value in attributes.items()}),
    )
    if error is not None:
        made.status.code, made.status.message = Status.STATUS_CODE_ERROR, error
    return SPANS, request


def invocation_span(number: int, *, at: tuple[float, float], **options: Any) -> Message:
    """Return a request with the span of the invocation `request-<number>`."""
    return span("orders", number, at=at, faas__invocation_id=f"request-{number}", **options)


def log(
    body: str,
    *,
    at: float,
    parent: int = 0,
    trace: int = TRACE,
    severity: str = "INFO",
    scope: str = "aws.lambda.function",
    **attributes: Any,
) -> Message:
    """Return a request with one log record; without *parent* it has no trace either."""
    request = ExportLogsServiceRequest()
    of_scope = request.resource_logs.add().scope_logs.add()
    of_scope.scope.name = scope
    record = of_scope.log_records.add(
        time_unix_nano=moment(at),
        severity_text=severity,
        attributes=key_values({key.replace("__", "."): value for key, value in attributes.items()}),
    )
    record.body.string_value = body
    if parent:
        record.trace_id, record.span_id = trace.to_bytes(16), parent.to_bytes(8)
    return LOGS, request


def counter(name: str, value: int) -> Message:
    """Return a request with one counter."""
    request, metric = _metric(name, "{item}")
    metric.sum.data_points.add(time_unix_nano=START_NS, as_int=value)
    return request


def gauge(name: str, value: int, unit: str) -> Message:
    """Return a request with one gauge."""
    request, metric = _metric(name, unit)
    metric.gauge.data_points.add(time_unix_nano=START_NS, as_int=value)
    return request


def histogram(name: str, values: Sequence[float], unit: str = "s", *, at: float = 0.0, error: str = "") -> Message:
    """Return a request with one histogram that has measured *values*."""
    request, metric = _metric(name, unit)
    metric.histogram.data_points.add(
        time_unix_nano=moment(at),
        count=len(values),
        sum=sum(values),
        min=min(values),
        max=max(values),
        attributes=key_values({"error.type": error} if error else {}),
    )
    return request


def _metric(name: str, unit: str) -> tuple[Message, Any]:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=name, unit=unit, description="of it")
    return (METRICS, request), metric
