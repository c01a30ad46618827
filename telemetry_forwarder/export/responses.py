"""Reads what an OTLP endpoint answers: how much it took, why not, when to come back. Pure; never raises."""

from binascii import a2b_base64
from collections.abc import Iterator
from datetime import UTC
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import authorization_header, redact_url
from telemetry_forwarder.transport.outcome import Failure, Response

_RESPONSES: dict[str, tuple[Any, str]] = {
    LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
    SPANS: (ExportTraceServiceResponse, "rejected_spans"),
    METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
}
_LONGEST_MESSAGE = 300
_LONGEST_WAIT_S = 3_600.0
# What is shorter would blacken every other word.
_SHORTEST_SECRET = 4
_OTLP_TYPES = frozenset({"", "application/x-protobuf", "application/protobuf", "application/json"})


class Partial(NamedTuple):
    """What a successful answer says about the items of its request."""

    rejected: int = 0
    """Never more than were sent."""
    message: str = ""
    """With nothing rejected, a warning."""
    is_readable: bool = True
    """Whether the body was the message that it has to be. If not, all items count as taken."""
    foreign_type: str = ""
    """The content-type, where it is none of OTLP's: it may be a page that has answered."""


def secrets(endpoint: Endpoint) -> tuple[str, ...]:
    """What is sent to *endpoint* and must not be shown when it comes back, the longest first."""
    headers = (*endpoint.headers.values(), *authorization_header(urlsplit(endpoint.proxy)).values())
    found = {text for value in headers for text in _parts_of_header(value)}
    for pair in urlsplit(endpoint.url).query.split("&"):
        name, equals, value = pair.partition("=")
        found |= {value, unquote(value)} if equals else {name, unquote(name)}
    return tuple(sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=_longest_first))


def partial(batch: Batch, answer: Response, secrets: tuple[str, ...] = ()) -> Partial:
    response_type, rejected_name = _RESPONSES[batch.signal]
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip()
    is_foreign = content_type.lower() not in _OTLP_TYPES
    foreign_type = _quoted(content_type, secrets)[:60] if is_foreign else ""
    try:
        success = response_type.FromString(answer.body).partial_success
    except DecodeError:
        return Partial(is_readable=False, foreign_type=foreign_type)
    rejected = min(max(0, getattr(success, rejected_name)), batch.items)
    return Partial(
        rejected, _quoted(success.error_message, secrets)[:_LONGEST_MESSAGE], foreign_type=foreign_type
    )


def refusal(reply: Response | Failure, secrets: tuple[str, ...] = ()) -> str:
    """The status, and what the endpoint says about it; or why there is no answer."""
    if isinstance(reply, Failure):
        return _quoted(reply.detail, secrets)
    if 300 <= reply.status < 400:
        location = reply.headers.get("location", "")
        where = _quoted(redact_url(location) or "elsewhere", secrets) if location else "nowhere"
        return f"{reply.status}: redirects are not followed, this one leads to {where}"
    return f"{reply.status}: {_message(reply, secrets) or 'without a message'}"


def retry_after_s(answer: Response, now_unix_ns: int) -> float | None:
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


def _longest_first(text: str) -> tuple[int, str]:
    return -len(text), text


def _parts_of_header(value: str) -> Iterator[str]:
    """*value*, and what in it is a secret on its own: the token behind `Bearer`, the password of `Basic`."""
    yield value
    scheme, *tokens = value.split() or [""]
    yield from tokens
    if scheme.lower() == "basic":
        try:
            credentials = a2b_base64("".join(tokens)).decode()
        except ValueError:
            return
        yield from (credentials, *credentials.split(":", 1))


def _quoted(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _message(answer: Response, secrets: tuple[str, ...]) -> str:
    body = answer.body
    if "protobuf" in answer.headers.get("content-type", ""):
        try:
            # A google.rpc.Status: on the wire, a number and a text as in a partial success. That spares
            # another package. https://opentelemetry.io/docs/specs/otlp/#failures
            message = ExportLogsPartialSuccess.FromString(body).error_message
            return _quoted(message, secrets)[:_LONGEST_MESSAGE]
        except DecodeError:
            pass
    # Cut only then: of a secret that is cut in two neither half would be known.
    text = _quoted(body.decode("utf-8", "replace"), secrets)[: 4 * _LONGEST_MESSAGE]
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_LONGEST_MESSAGE]
