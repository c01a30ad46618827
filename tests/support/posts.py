"""Builds the events and posts that Lambda sends."""

import json
from typing import Any

MOMENT = "2026-09-22T06:30:00.123Z"
MOMENT_NS = 1_790_058_600_123_000_000
OBSERVED_NS = 1_790_058_600_500_000_000
MS = 1_000_000


def event(type_: str, record: Any, time: str = MOMENT) -> dict[str, Any]:
    return {"time": time, "type": type_, "record": record}


def post(*events: Any) -> bytes:
    """Build a post as Lambda does: without spaces."""
    return json.dumps(events, separators=(",", ":")).encode()


def raw_event(raw: bytes, type_: str = "function", time: str = MOMENT) -> bytes:
    """Build an event whose record is *raw*, valid JSON or not."""
    return b'{"time":"%s","type":"%s","record":%s}' % (time.encode(), type_.encode(), raw)


def raw_post(*events: bytes) -> bytes:
    return b"[" + b",".join(events) + b"]"
