"""Reads the response of an OTLP endpoint: how much was accepted, why not, when to retry. Pure; never raises."""

from binascii import a2b_base64
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
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
_MAX_MESSAGE_CHARS = 300
_MAX_WAIT_S = 3_600.0
# A shorter one would redact parts of ordinary words.
_MIN_SECRET_CHARS = 4
_OTLP_TYPES = frozenset({"", "application/x-protobuf", "application/protobuf", "application/json"})


class PartialSuccess(NamedTuple):
    """What a successful response reports about the items of its request."""

    rejected: int = 0
    """Never more than were sent."""
    message: str = ""
    """A warning, if nothing is rejected."""
    is_readable: bool = True
    """Whether the body is the expected message. If not, all items count as accepted."""
    foreign_type: str = ""
    """The content type, if it is none of OTLP's: a web page, for example."""


def secret_values(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what is secret of *endpoint* and must not be logged if a response quotes it, the longest first."""
    headers = (*endpoint.headers.values(), *authorization_header(urlsplit(endpoint.proxy)).values())
    found = {text for value in headers for text in _parts_of_header(value)}
    for pair in urlsplit(endpoint.url).query.split("&"):
        name, equals, value = pair.partition("=")
        found |= {value, unquote(value)} if equals else {name, unquote(name)}
    long_enough = (text for text in found if len(text) >= _MIN_SECRET_CHARS)
    return tuple(sorted(long_enough, key=lambda text: (-len(text), text)))


def partial_success(batch: Batch, response: Response, secrets: tuple[str, ...] = ()) -> PartialSuccess:
    """Read a response with a status of 2xx."""
    message_type, rejected_name = _RESPONSES[batch.signal]
    content_type = response.headers.get("content-type", "").partition(";")[0].strip()
    is_foreign = content_type.lower() not in _OTLP_TYPES
    foreign_type = _redacted(content_type, secrets)[:60] if is_foreign else ""
    try:
        success = message_type.FromString(response.body).partial_success
    except DecodeError:
        return PartialSuccess(is_readable=False, foreign_type=foreign_type)
    rejected = min(max(0, getattr(success, rejected_name)), batch.items)
    message = _redacted(success.error_message, secrets)[:_MAX_MESSAGE_CHARS]
    return PartialSuccess(rejected, message, foreign_type=foreign_type)


def describe(outcome: Response | Failure, secrets: tuple[str, ...] = ()) -> str:
    """Return the status and the endpoint's message, or why there is no response, for a log line."""
    if isinstance(outcome, Failure):
        return _redacted(outcome.detail, secrets)
    if 300 <= outcome.status < 400:
        location = outcome.headers.get("location", "")
        target = _redacted(redact_url(location) or "elsewhere", secrets) if location else "nowhere"
        return f"{outcome.status}: redirects are not followed, this one points to {target}"
    return f"{outcome.status}: {_message(outcome, secrets) or 'without a message'}"


def retry_after_s(response: Response, now_unix_ns: int) -> float | None:
    """Return how long the endpoint asks not to be sent to, an hour at most; None if it does not ask."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _MAX_WAIT_S)
    if not value:
        return None
    # Imported here: it takes long, and hardly any endpoint sends a date.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now_unix_ns / 1_000_000_000), _MAX_WAIT_S)


def _parts_of_header(value: str) -> Iterator[str]:
    """Return *value* and the secrets inside it: the token after `Bearer`, the password of `Basic`."""
    yield value
    scheme, *tokens = value.split() or [""]
    yield from tokens
    if scheme.lower() == "basic":
        try:
            credentials = a2b_base64("".join(tokens)).decode()
        except ValueError:
            return
        yield from (credentials, *credentials.split(":", 1))


def _redacted(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _message(response: Response, secrets: tuple[str, ...]) -> str:
    body = response.body
    if "protobuf" in response.headers.get("content-type", ""):
        with suppress(DecodeError):
            # A google.rpc.Status: on the wire it is a number and a text, like a partial success. This avoids
            # a dependency. https://opentelemetry.io/docs/specs/otlp/#failures
            return _redacted(ExportLogsPartialSuccess.FromString(body).error_message, secrets)[:_MAX_MESSAGE_CHARS]
    # Redacted before it is cut: half a secret would not be recognised.
    text = _redacted(body.decode("utf-8", "replace"), secrets)[: 4 * _MAX_MESSAGE_CHARS]
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_MAX_MESSAGE_CHARS]
