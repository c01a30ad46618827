"""Reads trace and span ids as W3C and X-Ray write them: hex digits, or "" for anything else. Never raises."""

import re
from typing import Any

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
