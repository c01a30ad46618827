"""What Lambda posts: events, whole and cut, as bytes."""

import json
from typing import Any

MOMENT = "2026-09-22T06:30:00.123Z"
MOMENT_NS = 1_790_058_600_123_000_000
OBSERVED_NS = 1_790_058_600_500_000_000
MS = 1_000_000


def event(type_: str, record: Any, time: str = MOMENT) -> dict[str, Any]:
    return {"time": time, "type": type_, "record": record}


def post(*events: Any) -> bytes:
    """A post as Lambda writes it: without a space."""
    return json.dumps(events, separators=(",", ":")).encode()


def raw_event(raw: bytes, type_: str = "function", time: str = MOMENT) -> bytes:
    """An event with *raw*, JSON or not, for its record."""
    return b'{"time":"%s","type":"%s","record":%s}' % (time.encode(), type_.encode(), raw)


def raw_post(*events: bytes) -> bytes:
    return b"[" + b",".join(events) + b"]"
