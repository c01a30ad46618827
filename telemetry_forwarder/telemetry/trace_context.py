"""Parses trace and span ids in the notations of W3C and X-Ray, and X-Ray's tracing header. Pure; never raises."""

import re
from functools import lru_cache
from typing import Any

from telemetry_forwarder.telemetry.records import Tracing

# W3C's notation, or X-Ray's.
_TRACE_ID = re.compile(r"([0-9a-f]{32})|1-([0-9a-f]{8})-([0-9a-f]{24})", re.IGNORECASE | re.ASCII)
_SPAN_ID = re.compile(r"[0-9a-f]{16}", re.IGNORECASE | re.ASCII)
# https://www.w3.org/TR/trace-context/#traceparent-header
# Without a version: https://github.com/openzipkin/b3-propagation#single-header
_TRACEPARENT = re.compile(
    r"(?:(?!ff)[0-9a-f]{2}-(?=.{49}-[0-9a-f]{2}\Z))?([0-9a-f]{32})-([0-9a-f]{16})(?:-[0-9a-f]{1,2})?(?:-[0-9a-f]{16})?",
    re.IGNORECASE | re.ASCII,
)
# https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
_GOOGLE_TRACE = re.compile(r"projects/[^/\s]{1,100}/traces/([0-9a-f]{32})", re.IGNORECASE | re.ASCII)


TraceIds = tuple[str, str]
"""Trace id and span id of one value, as hex digits; empty if it does not contain them."""
# Of 128 bits.
_MAX_DECIMALS = 39


def parse_trace_id(value: Any) -> str:
    """Return the 32 hex digits of a W3C trace id or of an X-Ray root (`1-…-…`); empty if invalid or all zeros."""
    match = _TRACE_ID.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return ""
    digits = match[1] or match[2] + match[3]
    return digits.lower() if digits.strip("0") else ""


def parse_span_id(value: Any) -> str:
    """Return the 16 hex digits of a span id; empty if invalid or all zeros."""
    if isinstance(value, str) and _SPAN_ID.fullmatch(value) and value.strip("0"):
        return value.lower()
    return ""


def parse_trace_ids(value: Any) -> TraceIds:
    """Return the ids of a trace id, an X-Ray, W3C or B3 header, or the name of a trace at Google."""
    if not isinstance(value, str):
        return "", ""
    if trace_id := parse_trace_id(value):
        return trace_id, ""
    if match := _TRACEPARENT.fullmatch(value):
        trace_id = parse_trace_id(match[1])
        return trace_id, parse_span_id(match[2]) if trace_id else ""
    match = _GOOGLE_TRACE.fullmatch(value)
    return parse_trace_id(match[1]) if match else parse_root(value), ""


def parse_decimal_id(value: Any, *, digits: int) -> str:
    """Return a decimal id, as Datadog writes it, as *digits* hex digits; empty if it is none, zero or too large."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdecimal() and len(value) <= _MAX_DECIMALS else 0
    # In Python, bool is an int.
    is_id = type(value) is int and 0 < value < 1 << (4 * digits)
    return f"{value:0{digits}x}" if is_id else ""


def parse_root(header: Any) -> str:
    """Return the trace id of an X-Ray header: `Root=1-…-…;Parent=…;Sampled=…` in any order."""
    return parse_trace_id(_parts(header).get("root")) if isinstance(header, str) else ""


def parse_tracing(header: Any, *, own_span_id: Any = "") -> Tracing:
    """Return the parts of an X-Ray tracing header, in any order; any of them may be absent or invalid.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return _tracing(header if isinstance(header, str) else "", own_span_id if isinstance(own_span_id, str) else "")


# INVOKE, start, runtimeDone and report of one invocation carry the same header.
@lru_cache(maxsize=16)
def _tracing(header: str, own_span_id: str) -> Tracing:
    parts = _parts(header)
    return Tracing(
        trace_id=parse_trace_id(parts.get("root")),
        parent_id=parse_span_id(parts.get("parent")),
        span_id=parse_span_id(own_span_id),
        is_sampled={"1": True, "0": False}.get(parts.get("sampled", "")),
    )


def _parts(header: str) -> dict[str, str]:
    """Return the parts by lower-case name; the first one if a name is repeated."""
    pairs = [part.partition("=") for part in reversed(header.split(";"))]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
