"""Expected parsed lines: fields that are not named have the values of an empty line."""

from typing import Any

from telemetry_forwarder.log_formats.parsed_line import ParsedLine, parsed_line
from telemetry_forwarder.log_formats.parser import read_line

ID = "8286a188-ba32-4475-8077-530cd35c09a9"
ISO = "2026-09-22T06:30:00.123Z"
TIME_NS = 1_790_058_600_123_000_000
SECOND_NS = 1_790_058_600_000_000_000
TRACE_ID = "5759e988bd862e3fe1be46a994272793"
SPAN_ID = "53995c3f42cd8ad8"


def line(
    body: Any,
    number: int = 0,
    text: str = "",
    *,
    time_ns: int = 0,
    request_id: str = "",
    attributes: dict[str, Any] | None = None,
    trace_id: str = "",
    span_id: str = "",
    is_uncaught_exception: bool = False,
) -> ParsedLine:
    return parsed_line(
        body,
        severity_number=number,
        severity_text=text,
        time_ns=time_ns,
        request_id=request_id,
        attributes=attributes,
        trace_id=trace_id,
        span_id=span_id,
        is_uncaught_exception=is_uncaught_exception,
    )


def exception(name: str, message: str, trace: str = "") -> dict[str, str]:
    parts = {"exception.type": name, "exception.message": message, "exception.stacktrace": trace}
    return {key: value for key, value in parts.items() if value or key == "exception.message"}


def read(record: Any, *, keep_raw: bool = False) -> ParsedLine:
    """Parse *record*, without the sources of its request id and time."""
    return read_line(record, keep_raw=keep_raw).replace(request_id_key="", has_runtime_format=False, own_time=None)
