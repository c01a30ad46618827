"""Reads what an OTLP endpoint answers: how much it took, why not, when to come back. Pure; never raises."""

from datetime import UTC
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from telemetry_forwarder.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.replies import Answer
from telemetry_forwarder.urls import shown_url

_RESPONSES: dict[str, tuple[Any, str]] = {
    LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
    SPANS: (ExportTraceServiceResponse, "rejected_spans"),
    METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
}
_LONGEST_MESSAGE = 300
_LONGEST_WAIT_S = 3_600.0


class Partial(NamedTuple):
    """What a successful answer says about the items of its request."""

    rejected: int = 0
    """Never more than were sent."""
    message: str = ""
    """With nothing rejected, a warning."""
    is_readable: bool = True
    """Whether the body was the message that it has to be. If not, all items count as taken."""


def partial(batch: Batch, answer: Answer) -> Partial:
    response_type, rejected_name = _RESPONSES[batch.signal]
    try:
        success = response_type.FromString(answer.body).partial_success
    except DecodeError:
        return Partial(is_readable=False)
    rejected = min(max(0, getattr(success, rejected_name)), batch.items)
    return Partial(rejected, success.error_message[:_LONGEST_MESSAGE])


def refusal(answer: Answer) -> str:
    """The status, and what the endpoint says about it."""
    if 300 <= answer.status < 400:
        location = shown_url(answer.headers.get("location", "nowhere"))
        return f"{answer.status}: redirects are not followed, this one leads to {location}"
    return f"{answer.status}: {_message(answer) or 'without a message'}"


def retry_after_s(answer: Answer, now_unix_ns: int) -> float | None:
    """How long to stay away, an hour at most; None where the answer does not say."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_WAIT_S)
    if not value:
        return None
    # Hardly any endpoint gives a date: 2 ms of imports.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now_unix_ns / 1_000_000_000), _LONGEST_WAIT_S)


def _message(answer: Answer) -> str:
    body = answer.body
    if "protobuf" in answer.headers.get("content-type", ""):
        try:
            # A google.rpc.Status: on the wire, a number and a text as in a partial success. That spares
            # another package. https://opentelemetry.io/docs/specs/otlp/#failures
            return ExportLogsPartialSuccess.FromString(body).error_message[:_LONGEST_MESSAGE]
        except DecodeError:
            pass
    text = body[: 4 * _LONGEST_MESSAGE].decode("utf-8", "replace")
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_LONGEST_MESSAGE]
