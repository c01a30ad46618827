"""Reads the response of an OTLP endpoint: a description for log lines, when to retry. Pure; never raises."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess

from telemetry_forwarder.endpoints.urls import redact_url
from telemetry_forwarder.transport.outcome import Failure, Response

_MAX_MESSAGE_CHARS = 300
# Masking takes long, and a whole page need not be masked for its first line.
_MAX_MASKED_CHARS = 1_200
_MAX_WAIT_S = 3_600.0

Mask = Callable[[str], str]
"""Returns a text without secrets, which a server may quote."""


def describe(outcome: Response | Failure, mask: Mask = str) -> str:
    """Return the status and the endpoint's message, or why there is no response, for a log line."""
    if isinstance(outcome, Failure):
        return quoted(outcome.detail, mask)
    if 300 <= outcome.status < 400:
        location = outcome.headers.get("location", "")
        target = redact_url(quoted(location, mask)) or "elsewhere" if location else "nowhere"
        return f"{outcome.status}: redirects are not followed, this one points to {target}"
    return f"{outcome.status}: {quoted(_message(outcome), mask) or 'without a message'}"


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


def quoted(text: str, mask: Mask) -> str:
    """Return what a server wrote for a log line: masked, printable and on one line, and cut only then."""
    # A secret may contain several spaces in a row, so they are joined only after it is masked.
    masked = mask(text.strip()[:_MAX_MASKED_CHARS])
    printable = "".join(char if char.isprintable() else " " for char in masked)
    return " ".join(printable.split())[:_MAX_MESSAGE_CHARS]


def _message(response: Response) -> str:
    if "protobuf" in response.headers.get("content-type", ""):
        with suppress(DecodeError):
            # A google.rpc.Status: on the wire it is a number and a text, like a partial success. This avoids
            # a dependency. https://opentelemetry.io/docs/specs/otlp/#failures
            return str(ExportLogsPartialSuccess.FromString(response.body).error_message)
    return response.body.decode("utf-8", "replace")
