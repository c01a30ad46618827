"""Parses trace and span ids in the notations of W3C and X-Ray, and X-Ray's tracing header. Pure; never raises."""

import re
from functools import lru_cache
from typing import Any

from telemetry_forwarder.telemetry.records import Tracing

# W3C's notation, or X-Ray's.
_TRACE_ID = re.compile(r"([0-9a-f]{32})|1-([0-9a-f]{8})-([0-9a-f]{24})", re.IGNORECASE | re.ASCII)
_SPAN_ID = re.compile(r"[0-9a-f]{16}", re.IGNORECASE | re.ASCII)


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
