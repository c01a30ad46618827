"""Builds the platform events of invocations. Times are milliseconds after `MOMENT_NS`."""

import itertools
from collections.abc import Callable
from typing import Any

from telemetry_forwarder.invocations.duplicate_events import Arrival
from telemetry_forwarder.invocations.tracker import InvocationTracker
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import Event
from tests.support.posts import MOMENT_NS, MS, OBSERVED_NS

ROOT, TRACE_ID = "1-68e0e0e0-0123456789abcdef01234567", "68e0e0e00123456789abcdef01234567"
UPSTREAM, SPAN_ID = "53995c3f42cd8ad8", "54565fb41ac79632"
HEADER = f"Root={ROOT};Parent={UPSTREAM};Sampled=1"
ARN = "arn:aws:lambda:eu-west-1:111122223333:function:orders"


def at(ms: float) -> int:
    return MOMENT_NS + round(ms * MS)


def iso(ms: int) -> str:
    """Return a time as Lambda writes it; at most a minute away from 06:30:00.123."""
    seconds, thousandths = divmod(123 + ms, 1_000)
    return f"2026-09-22T06:{30 + seconds // 60:02}:{seconds % 60:02}.{thousandths:03}Z"


def counted_ids() -> Callable[[int], str]:
    """Return a function that makes the ids 1, 2, 3."""
    numbers = itertools.count(1)
    return lambda size: f"{next(numbers):0{size * 2}x}"


def tracker(*events: Event, is_managed: bool = False) -> InvocationTracker:
    """Return a tracker that has observed *events*, none of which may be a duplicate."""
    one = InvocationTracker(is_managed=is_managed, new_id=counted_ids())
    for event in events:
        assert one.observe(event) is not Arrival.DUPLICATE
    return one


def platform_event(type_: str, ms: float | None, **fields: Any) -> Event:
    """Build an event; without *ms* its time is invalid."""
    return read_event(f"platform.{type_}", fields, time_ns=0 if ms is None else at(ms), observed_ns=OBSERVED_NS)


def span(name: str, ms: int, duration_ms: float) -> dict[str, Any]:
    return {"name": name, "start": iso(ms), "durationMs": duration_ms}


def tracing(span_id: str = SPAN_ID, header: str = HEADER) -> dict[str, str]:
    return {"spanId": span_id, "type": "X-Amzn-Trace-Id", "value": header}


def init_start(ms: float, *, phase: str = "init", kind: str = "on-demand") -> Event:
    return platform_event("initStart", ms, phase=phase, initializationType=kind)


def init_done(ms: float, *, phase: str = "init", kind: str = "on-demand", **fields: Any) -> Event:
    fields = {"status": "success", **fields}
    return platform_event("initRuntimeDone", ms, phase=phase, initializationType=kind, **fields)


def init_report(
    ms: float, *, phase: str = "init", kind: str = "on-demand", duration_ms: float | None = None, **fields: Any
) -> Event:
    metrics = {} if duration_ms is None else {"durationMs": duration_ms}
    fields = {"status": "success", **fields}
    return platform_event("initReport", ms, phase=phase, initializationType=kind, metrics=metrics, **fields)


def start(request_id: str, ms: float | None, **fields: Any) -> Event:
    return platform_event("start", ms, requestId=request_id, version="7", **fields)


def done(request_id: str, ms: float | None, *, duration_ms: float | None = None, **fields: Any) -> Event:
    fields = {"status": "success", **fields}
    if duration_ms is not None:
        fields["metrics"] = {"durationMs": duration_ms, "producedBytes": 17}
    return platform_event("runtimeDone", ms, requestId=request_id, **fields)


def report(
    request_id: str, ms: float | None, *, duration_ms: float | None = None, used_mb: int = 90, **fields: Any
) -> Event:
    metrics: dict[str, float] = {"memorySizeMB": 128, "maxMemoryUsedMB": used_mb}
    if duration_ms is not None:
        metrics |= {"durationMs": duration_ms, "billedDurationMs": int(duration_ms) + 1}
    return platform_event("report", ms, requestId=request_id, metrics=metrics, **{"status": "success", **fields})
