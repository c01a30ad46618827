"""Judges a response with a status of 2xx: how much was accepted. Pure; never raises.

Receivers send OTLP, nothing, a word, or a JSON object of their own. Each of these counts as accepted unless it reports
a failure: telemetry whose acceptance is not recognised would be sent again and again. Nothing else can be a response of
OTLP.
"""

import re
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.export.responses import Mask, quoted
from telemetry_forwarder.transport.outcome import Response

_RESPONSES: dict[str, tuple[Any, str, str]] = {
    LOGS: (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    SPANS: (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    METRICS: (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
}
_PARTIAL_SUCCESS = ("partialSuccess", "partial_success")
_OTLP_TYPES = frozenset({"", "application/x-protobuf", "application/protobuf", "application/json"})
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
# HTML or XML. A response in protobuf may begin with "\n<" as well, but no letter follows.
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[a-zA-Z!?]")
_ERROR_STATUS = re.compile("[45][0-9][0-9]|error|fail(ed|ure)?")
# What real receivers send; of all others, a warning is logged.
_ACKNOWLEDGEMENTS = frozenset({"", "none", "null", "true", "ok", "success", "accepted", "0", "1", "200", "202"})
_NO_ERROR = frozenset({"", "none", "null", "false", "ok", "success", "0"})


class PartialSuccess(NamedTuple):
    """What a successful response reports about the items of its request."""

    rejected: int = 0
    """Never more than were sent."""
    message: str = ""
    """A warning, if nothing is rejected."""
    foreign: str = ""
    """Describes the response if it is not one of OTLP."""


class NotOtlp(NamedTuple):
    """A response with a status of 2xx that accepted nothing."""

    description: str


def read_success(batch: Batch, response: Response, mask: Mask = str) -> PartialSuccess | NotOtlp:
    """Read a response with a status of 2xx."""
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Masking takes long, and hardly any response needs it.
    foreign = "" if content_type in _OTLP_TYPES else quoted(content_type, mask)[:60]
    described = foreign or f"{content_type or 'a body'} that is no OTLP response"
    # Of a response that was cut only the beginning is judged: it was accepted, whatever happened to the rest.
    document = _document(batch.signal, response.body) if response.is_whole and response.body else None
    if response.is_foreign or _is_page(content_type, response) or _reports_failure(document):
        return NotOtlp(described)
    if document is None:
        return PartialSuccess(foreign=foreign)
    if not _acknowledges(document):
        # An object may be a response with members that only its sender knows; nothing else can be one.
        if not isinstance(document, dict):
            return NotOtlp(described)
        foreign = described
    rejected, message = _partial_success(batch.signal, document)
    return PartialSuccess(min(rejected, batch.items), message and quoted(message, mask), foreign)


def _is_page(content_type: str, response: Response) -> bool:
    # Frameworks declare an empty body as a web page, too.
    has_body = response.body or not response.is_whole
    return bool((content_type in _PAGE_TYPES and has_body) or _MARKUP.match(response.body))


def _document(signal: str, body: bytes) -> object:
    """Return *body* as a JSON value: it may be protobuf, JSON or text, whatever its content type.

    None stands for a success without a remark, as `null` does.
    """
    message_type, protobuf_name, json_name = _RESPONSES[signal]
    # A short text may be a message of unknown fields, too.
    if not (body and body.decode("utf-8", "replace").isprintable()):
        with suppress(DecodeError):
            part = message_type.FromString(body).partial_success
            rejected, text = getattr(part, protobuf_name), part.error_message
            if rejected or text:
                return {"partialSuccess": {json_name: rejected, "errorMessage": text}}
            return {"error": _status_code(body)}
    with suppress(ValueError):
        return orjson.loads(body)
    return body.decode("utf-8", "replace")


def _status_code(body: bytes) -> int:
    """Return the code if *body* is a google.rpc.Status: it has a number where a response of OTLP has a message."""
    with suppress(DecodeError):
        return int(ExportLogsPartialSuccess.FromString(body).rejected_log_records)
    return 0


def _reports_failure(document: object) -> bool:
    """Return whether a JSON object has a member that every API uses for a failure."""
    if not isinstance(document, dict):
        return False
    words = {name.lower(): _word(value) for name, value in document.items()}
    return (
        words.get("error", "") not in _NO_ERROR
        or any(words.get(name) in ("false", "0") for name in ("success", "ok"))
        or any(_ERROR_STATUS.fullmatch(words.get(name, "")) for name in ("code", "status", "statuscode"))
    )


def _acknowledges(document: object) -> bool:
    """Return whether *document* is a response of OTLP or an acknowledgement."""
    if isinstance(document, dict):
        return all(name in _PARTIAL_SUCCESS or _word(value) in _ACKNOWLEDGEMENTS for name, value in document.items())
    return _word(document) in _ACKNOWLEDGEMENTS


def _word(value: object) -> str:
    """Return a JSON value in lower case; of an array or object, only whether it is empty."""
    if isinstance(value, dict | list):
        return "[...]" if value else ""
    return str(value).strip().lower()


def _partial_success(signal: str, document: object) -> tuple[int, str]:
    """Return the number of rejected items, and the message."""
    members = document if isinstance(document, dict) else {}
    partial = members.get("partialSuccess", members.get("partial_success"))
    if not isinstance(partial, dict):
        return 0, ""
    _, protobuf_name, json_name = _RESPONSES[signal]
    # A 64-bit number is a string in OTLP's JSON.
    rejected = _word(partial.get(json_name, partial.get(protobuf_name)))
    message = partial.get("errorMessage", partial.get("error_message"))
    is_number = rejected.isdecimal() and len(rejected) < 20
    return int(rejected) if is_number else 0, message if isinstance(message, str) else ""
