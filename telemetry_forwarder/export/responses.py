"""Reads the response of an OTLP endpoint: how much was accepted, why not, when to retry. Pure; never raises."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.endpoints.urls import redact_url
from telemetry_forwarder.transport.outcome import Failure, Response

_RESPONSES: dict[str, tuple[Any, str]] = {
    LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
    SPANS: (ExportTraceServiceResponse, "rejected_spans"),
    METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
}
_MAX_MESSAGE_CHARS = 300
# Masking takes long, and a whole page need not be masked for its first line.
_MAX_MASKED_CHARS = 1_200
_MAX_WAIT_S = 3_600.0
_NO_CONTENT = 204
_OTLP_TYPES = frozenset({"", "application/x-protobuf", "application/protobuf", "application/json"})
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
# What some back ends respond with instead of an OTLP message, for example Alibaba Cloud and Splunk.
_ACKNOWLEDGEMENTS = frozenset({b"", b"ok", b"success", b"accepted", b"true", b"null"})
_UNKNOWN_MEMBERS = "JSON that is no OTLP response"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Mask = Callable[[str], str]
"""Returns a text without secrets, which a server may quote."""


class PartialSuccess(NamedTuple):
    """What a successful response reports about the items of its request."""

    rejected: int = 0
    """Never more than were sent."""
    message: str = ""
    """A warning, if nothing is rejected."""
    foreign_type: str = ""
    """The content type, or what else is none of OTLP's."""


class NotOtlp(NamedTuple):
    """A response with a status of 2xx that no OTLP receiver sends: nothing was accepted."""

    description: str


def read_success(batch: Batch, response: Response, mask: Mask = str) -> PartialSuccess | NotOtlp:
    """Read a response with a status of 2xx.

    An empty body accepts everything, because many receivers send none; but not if it is declared as a web page.
    """
    if response.status == _NO_CONTENT:
        return PartialSuccess()
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Masking takes long, and hardly any response needs it.
    foreign_type = "" if content_type in _OTLP_TYPES else _quoted(content_type, mask)[:60]
    if content_type in _PAGE_TYPES or response.is_foreign:
        return NotOtlp(foreign_type or content_type or "no content type")
    shown = foreign_type or content_type or "a body"
    if not response.is_whole:
        # It was accepted, whatever happened to the rest of the response.
        is_page = response.body.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"<")
        return NotOtlp(f"{shown} that is a web page") if is_page else PartialSuccess(0, "", foreign_type)
    partial = _from_json if content_type.endswith("json") else _from_protobuf
    if (read := partial(batch.signal, response.body)) is None:
        return NotOtlp(foreign_type or f"{shown} that is no OTLP response")
    rejected, message, foreign = read
    message = message and _quoted(message, mask)
    return PartialSuccess(min(max(0, rejected), batch.items), message, foreign_type or foreign)


def _from_protobuf(signal: str, body: bytes) -> tuple[int, str, str] | None:
    message_type, rejected_name = _RESPONSES[signal]
    try:
        success = message_type.FromString(body).partial_success
    except DecodeError:
        # JSON without its content type.
        return _from_json(signal, body)
    return getattr(success, rejected_name), success.error_message, ""


def _from_json(signal: str, body: bytes) -> tuple[int, str, str] | None:
    """Read the JSON that many receivers send whatever the request's encoding."""
    if body.strip().strip(b'"').lower() in _ACKNOWLEDGEMENTS:
        return 0, "", ""
    try:
        response = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(response, dict):
        return None
    if response.keys() - {"partialSuccess", "partial_success"}:
        # Imported here: hardly any receiver sends anything else.
        from telemetry_forwarder.export.answers import Answer, answer_of

        answer = answer_of(response)
        if answer is Answer.NO:
            return None
        foreign = _UNKNOWN_MEMBERS if answer is Answer.UNKNOWN else ""
    else:
        foreign = ""
    partial = response.get("partialSuccess", response.get("partial_success"))
    if not isinstance(partial, dict):
        return 0, "", foreign
    name = _RESPONSES[signal][1]
    first, *words = name.split("_")
    # A 64-bit number is a string in OTLP's JSON.
    rejected = str(partial.get(first + "".join(map(str.title, words)), partial.get(name, 0)))
    message = str(partial.get("errorMessage", partial.get("error_message", "")))
    return int(rejected) if rejected.isdecimal() and len(rejected) < 20 else 0, message, foreign


def describe(outcome: Response | Failure, mask: Mask = str) -> str:
    """Return the status and the endpoint's message, or why there is no response, for a log line."""
    if isinstance(outcome, Failure):
        return _quoted(outcome.detail, mask)
    if 300 <= outcome.status < 400:
        location = outcome.headers.get("location", "")
        target = redact_url(_quoted(location, mask)) or "elsewhere" if location else "nowhere"
        return f"{outcome.status}: redirects are not followed, this one points to {target}"
    return f"{outcome.status}: {_quoted(_message(outcome), mask) or 'without a message'}"


def retry_after_s(response: Response, now_unix_ns: int) -> float | None:
    """Return how long the endpoint asks not to be sent to, an hour at most; None if it does not ask."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _MAX_WAIT_S)
    if not value or (moment_s := _date_unix_s(value)) is None:
        return None
    # The endpoint's own clock, if it is known: ours may be wrong.
    now_s = _date_unix_s(response.headers.get("date", ""))
    now_s = now_unix_ns / 1_000_000_000 if now_s is None else now_s
    return min(max(0.0, moment_s - now_s), _MAX_WAIT_S)


def _date_unix_s(value: str) -> float | None:
    # Imported here: it takes long, and hardly any endpoint sends a date.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _quoted(text: str, mask: Mask) -> str:
    """Return what a server wrote for a log line: masked, printable and on one line, and cut only then."""
    masked = mask(" ".join(text.split())[:_MAX_MASKED_CHARS])
    printable = "".join(char if char.isprintable() else " " for char in masked)
    return " ".join(printable.split())[:_MAX_MESSAGE_CHARS]


def _message(response: Response) -> str:
    if "protobuf" in response.headers.get("content-type", ""):
        with suppress(DecodeError):
            # A google.rpc.Status: on the wire it is a number and a text, like a partial success. This avoids
            # a dependency. https://opentelemetry.io/docs/specs/otlp/#failures
            return str(ExportLogsPartialSuccess.FromString(response.body).error_message)
    return response.body.decode("utf-8", "replace")
