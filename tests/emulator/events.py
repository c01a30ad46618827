"""Builds the records of platform events and the two lifecycle events as Lambda does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .clock import iso, ms
from .settings import python_version
from .state import Extension, Fault, Invocation

if TYPE_CHECKING:
    from .sandbox import Sandbox

Record = dict[str, Any]


def status(fault: Fault | None) -> Record:
    if fault is None:
        return {"status": "success"}
    record: Record = {"status": fault.status}
    if fault.error_type is not None:
        record["errorType"] = fault.error_type
    return record


def _instance(sandbox: Sandbox) -> Record:
    settings = sandbox.settings
    record: Record = {}
    if settings.bootstrap is None:
        record["runtimeVersion"] = f"python:{python_version()}.v60"
        record["runtimeVersionArn"] = "arn:aws:lambda:eu-west-1::runtime:0a1b2c3d4e5f"
    return record | {
        "functionName": settings.name,
        "functionVersion": settings.version,
        "instanceId": sandbox.instance_id,
        "instanceMaxMemory": settings.memory_mb * 1024 * 1024,
    }


def init_start(sandbox: Sandbox) -> Record:
    kind = {"initializationType": sandbox.settings.initialization_type, "phase": sandbox.phase}
    return kind | _instance(sandbox)


def init_runtime_done(sandbox: Sandbox, fault: Fault | None) -> Record:
    kind = {"initializationType": sandbox.settings.initialization_type, "phase": sandbox.phase}
    return kind | status(fault)


def init_report(sandbox: Sandbox, duration_s: float, fault: Fault | None) -> Record:
    metrics = {"metrics": {"durationMs": ms(duration_s)}}
    return init_runtime_done(sandbox, fault) | metrics


def restore_start(sandbox: Sandbox) -> Record:
    return _instance(sandbox)


def extension(extension: Extension, fault: Fault | None) -> Record:
    record: Record = {"name": extension.name, "state": extension.state, "events": list(extension.events)}
    error_type = extension.error_type
    if error_type is None and fault is not None and fault.extension == extension.name:
        error_type = fault.error_type
    if error_type is not None:
        record["errorType"] = error_type
    return record


def invoke(sandbox: Sandbox, invocation: Invocation) -> Record:
    event: Record = {
        "eventType": "INVOKE",
        "deadlineMs": invocation.deadline_ms,
        "requestId": invocation.request_id,
        "invokedFunctionArn": sandbox.settings.arn,
    }
    if invocation.trace is not None:
        event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": invocation.trace}
    return event


def start(sandbox: Sandbox, invocation: Invocation) -> Record:
    record: Record = {"requestId": invocation.request_id, "version": sandbox.settings.version}
    if sandbox.settings.is_managed:
        record["functionArn"] = sandbox.settings.arn
    return record | _tracing(invocation)


def runtime_done(invocation: Invocation, done_s: float, fault: Fault | None) -> Record:
    produced = len(invocation.response or b"")
    record: Record = {
        "requestId": invocation.request_id,
        **status(fault),
        "metrics": {"durationMs": ms(done_s - invocation.started_s), "producedBytes": produced},
    }
    if fault is None:
        overhead = _span(invocation, "runtimeOverhead", invocation.last_byte_s, done_s)
        record["spans"] = [*_response_spans(invocation), overhead]
    return record | _tracing(invocation)


def report(
    sandbox: Sandbox, invocation: Invocation, runtime_done_s: float, idle_s: float, fault: Fault | None
) -> Record:
    settings = sandbox.settings
    duration_s = idle_s - invocation.started_s
    if fault is not None and fault.status == "timeout":
        duration_s = settings.timeout_s
    metrics: Record = {
        "durationMs": ms(duration_s),
        "billedDurationMs": math.ceil((duration_s + (sandbox.init_s or 0.0)) * 1000),
        "memorySizeMB": settings.memory_mb,
        "maxMemoryUsedMB": min(sandbox.most_memory_mb, settings.memory_mb),
    }
    if fault is not None and fault.error_type == "Runtime.OutOfMemory":
        metrics["maxMemoryUsedMB"] = settings.memory_mb
    if sandbox.init_s is not None and settings.initialization_type == "on-demand":
        metrics["initDurationMs"] = ms(sandbox.init_s)
    if sandbox.restore_s is not None:
        metrics["restoreDurationMs"] = ms(sandbox.restore_s)
    record = {"requestId": invocation.request_id, **status(fault), "metrics": metrics}
    if fault is None and any("INVOKE" in e.events for e in sandbox.extensions.values()):
        record["spans"] = [_span(invocation, "extensionOverhead", runtime_done_s, idle_s)]
    return record | _tracing(invocation)


def managed_report(invocation: Invocation, now_s: float, fault: Fault | None) -> Record:
    """Build the report of a managed instance, which has a duration and no other metric."""
    record: Record = {"requestId": invocation.request_id, **status(fault)}
    if fault is not None and fault.status == "timeout":
        record["errorType"] = "Sandbox.Timedout"
    record["metrics"] = {"durationMs": ms((invocation.responded_s or now_s) - invocation.started_s)}
    if fault is None:
        record["spans"] = _response_spans(invocation)
    return record | _tracing(invocation)


def _response_spans(invocation: Invocation) -> list[Record]:
    return [
        _span(invocation, "responseLatency", invocation.started_s, invocation.first_byte_s),
        _span(invocation, "responseDuration", invocation.first_byte_s, invocation.last_byte_s),
    ]


def _span(invocation: Invocation, name: str, start_s: float, end_s: float) -> Record:
    return {"name": name, "start": iso(invocation.ns(start_s)), "durationMs": ms(end_s - start_s)}


def _tracing(invocation: Invocation) -> Record:
    return {} if invocation.tracing is None else {"tracing": invocation.tracing}
