"""Reads trace and span ids as W3C and X-Ray write them, and X-Ray's tracing header. Pure; never raises."""

import re
from functools import lru_cache
from typing import Any

from telemetry_forwarder.telemetry.records import Tracing

_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_SPAN_ID = re.compile(r"[0-9a-f]{16}", re.IGNORECASE | re.ASCII)
_XRAY = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})", re.IGNORECASE | re.ASCII)


def trace_id(value: Any) -> str:
    """The 32 digits of a W3C trace id or of an X-Ray root (`1-…-…`); all zeros are no id."""
    if not isinstance(value, str):
        return ""
    if _TRACE_ID.fullmatch(value):
        digits = value
    elif match := _XRAY.fullmatch(value):
        digits = match[1] + match[2]
    else:
        return ""
    return digits.lower() if digits.strip("0") else ""


def span_id(value: Any) -> str:
    """The 16 digits of a span id; all zeros are none."""
    if isinstance(value, str) and _SPAN_ID.fullmatch(value) and value.strip("0"):
        return value.lower()
    return ""


def root_of(header: Any) -> str:
    """The trace id in an X-Ray header, `Root=1-…-…;Parent=…;Sampled=…` in any order."""
    if not isinstance(header, str):
        return ""
    for part in header.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "root":
            return trace_id(value.strip())
    return ""


def read_tracing(header: Any, own_span_id: Any = "") -> Tracing:
    """The parts of an X-Ray tracing header. Their order is free, and any of them may be absent or wrong.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return _read(_text(header), _text(own_span_id))


# INVOKE, start, runtimeDone and report of one invocation say the same.
@lru_cache(maxsize=16)
def _read(header: str, own_span_id: str) -> Tracing:
    parts = _parts(header)
    return Tracing(
        trace_id=root_of(header),
        parent_id=span_id(parts.get("parent")),
        span_id=span_id(own_span_id),
        is_sampled={"1": True, "0": False}.get(parts.get("sampled", "")),
        lineage=parts.get("lineage", ""),
    )


def _parts(header: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
