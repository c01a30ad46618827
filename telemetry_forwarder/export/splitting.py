"""Splits a batch that was too large for an endpoint. Pure."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch

_POINTS = "data_points"
# The message of each signal, and the fields that lead from it to its items.
_REQUESTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    LOGS: (ExportLogsServiceRequest, ("resource_logs", "scope_logs", "log_records")),
    SPANS: (ExportTraceServiceRequest, ("resource_spans", "scope_spans", "spans")),
    METRICS: (ExportMetricsServiceRequest, ("resource_metrics", "scope_metrics", "metrics", _POINTS)),
}


def halves(batch: Batch) -> tuple[Batch, Batch] | None:
    """Return the first half of the items and the rest; None if there are less than two or it cannot be decoded."""
    request_type, path = _REQUESTS[batch.signal]
    try:
        first, rest = request_type.FromString(batch.body), request_type.FromString(batch.body)
    except DecodeError:
        return None
    # There are fewer items than bytes: this keeps them all.
    items = _keep(first, path, start=0, end=len(batch.body))
    half = items // 2
    if half == 0:
        return None
    _keep(first, path, start=0, end=half)
    _keep(rest, path, start=half, end=items)
    # The counts add up to that of the batch, even if it contains another number of items.
    half = batch.items * half // items
    return (
        Batch(batch.signal, first.SerializeToString(), half),
        Batch(batch.signal, rest.SerializeToString(), batch.items - half),
    )


def joined(batches: list[Batch]) -> Batch:
    """Return one batch with all items of *batches*: at least one, all of one signal."""
    if len(batches) == 1:
        return batches[0]
    body = b"".join(batch.body for batch in batches)
    return Batch(batches[0].signal, body, sum(batch.items for batch in batches))


def _keep(message: Any, path: Sequence[str], *, start: int, end: int) -> int:
    """Remove all items but those from *start* to *end*, and messages without items; return how many there were."""
    field, *rest = path
    children = _data_points(message) if field == _POINTS else getattr(message, field)
    if not rest:
        count = len(children)
        del children[max(0, end) :]
        del children[: max(0, start)]
        return count
    position, empty = 0, []
    for index, child in enumerate(children):
        count = _keep(child, rest, start=start - position, end=end - position)
        if min(end, position + count) <= max(start, position):
            empty.append(index)
        position += count
    for index in reversed(empty):
        del children[index]
    return position


def _data_points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else []
