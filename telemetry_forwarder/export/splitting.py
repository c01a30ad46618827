"""Cuts a batch in two, for an endpoint to which it was too large. Pure."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch

_REQUESTS: dict[str, tuple[Any, tuple[str, str, str]]] = {
    LOGS: (ExportLogsServiceRequest, ("resource_logs", "scope_logs", "log_records")),
    SPANS: (ExportTraceServiceRequest, ("resource_spans", "scope_spans", "spans")),
    METRICS: (ExportMetricsServiceRequest, ("resource_metrics", "scope_metrics", "metrics")),
}


def halves(batch: Batch) -> tuple[Batch, Batch] | None:
    """The first half of the items and the rest; None where there are not two, or nothing can be decoded."""
    request_type, names = _REQUESTS[batch.signal]
    try:
        first, rest = request_type.FromString(batch.body), request_type.FromString(batch.body)
    except DecodeError:
        return None
    items = sum(map(len, _item_lists(first, names)))
    half = items // 2
    if half == 0:
        return None
    _keep(first, names, start=0, end=half)
    _keep(rest, names, start=half, end=items)
    # The two are as many as the batch says that it has, even if that is not what was found.
    half = batch.items * half // items
    return (
        Batch(batch.signal, first.SerializeToString(), half),
        Batch(batch.signal, rest.SerializeToString(), batch.items - half),
    )


def joined(batches: list[Batch]) -> Batch:
    """All of *batches*, of one signal and at least one, as a single batch."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        batches[0].signal,
        b"".join(batch.body for batch in batches),
        sum(batch.items for batch in batches),
    )


def _keep(request: Any, names: tuple[str, str, str], *, start: int, end: int) -> None:
    """Remove all items of *request* but those from *start* to *end*, and what is empty then."""
    position = 0
    for items in _item_lists(request, names):
        size = len(items)
        del items[max(0, end - position) :]
        del items[: max(0, start - position)]
        position += size
    _prune(request, names)


def _prune(request: Any, names: tuple[str, str, str]) -> None:
    resources_name, scopes_name, items_name = names
    resources = getattr(request, resources_name)
    for resource in resources:
        scopes = getattr(resource, scopes_name)
        for scope in scopes:
            if items_name == "metrics":
                _remove(scope.metrics, [not _points(metric) for metric in scope.metrics])
        _remove(scopes, [not getattr(scope, items_name) for scope in scopes])
    _remove(resources, [not getattr(resource, scopes_name) for resource in resources])


def _remove(messages: Any, are_empty: list[bool]) -> None:
    for index in range(len(are_empty) - 1, -1, -1):
        if are_empty[index]:
            del messages[index]


def _item_lists(request: Any, names: tuple[str, str, str]) -> Iterator[Any]:
    """The lists of what is counted: log records, spans, or data points."""
    resources_name, scopes_name, items_name = names
    for resource in getattr(request, resources_name):
        for scope in getattr(resource, scopes_name):
            items = getattr(scope, items_name)
            if items_name == "metrics":
                yield from map(_points, items)
            else:
                yield items


def _points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else []
