"""The phases of a sandbox, told in the order in which they happen: init, invoke, shutdown."""

from __future__ import annotations

import signal
import time

from . import events
from .actors import Fault, Invocation, epoch_ms
from .clock import ms
from .observations import Exit
from .sandbox import Sandbox
from .settings import SNAP_START

_MANAGED_FLUSH_S = 1.0


def init(sandbox: Sandbox, deadline_s: float) -> Fault | None:
    """Extensions first, the runtime when all have registered, done when all asked for their next event."""
    started_s = time.monotonic()
    settings, telemetry = sandbox.settings, sandbox.telemetry
    is_snapshot = settings.initialization_type == SNAP_START and sandbox.phase != "invoke"
    if is_snapshot:
        telemetry.shift_ns = -int(settings.snapshot_age_s * 1e9)
    telemetry.platform("initStart", events.init_start(sandbox))
    sandbox.launch_extensions()
    fault = sandbox.wait(lambda: all(e.is_registered for e in sandbox.external()), deadline_s)
    if fault is None:
        sandbox.launch_runtime()
        fault = sandbox.wait(lambda: _is_runtime_ready(sandbox, is_snapshot), deadline_s)
    telemetry.platform("initRuntimeDone", events.init_runtime_done(sandbox, fault))
    if fault is None:
        fault = sandbox.wait(sandbox.is_each_ready, deadline_s)
    for extension in sandbox.extensions.values():
        telemetry.platform("extension", events.extension(extension, fault))
    duration_s = time.monotonic() - started_s
    telemetry.platform("initReport", events.init_report(sandbox, duration_s, fault))
    with sandbox.changed:
        sandbox.is_init_done = True
    telemetry.end_of_init()
    if fault is None:
        if sandbox.phase != "invoke":
            sandbox.init_s = duration_s
        sandbox.physics.throttle()
    return fault


def _is_runtime_ready(sandbox: Sandbox, is_snapshot: bool) -> bool:
    runtime = sandbox.runtime
    if is_snapshot and runtime.restore_asked_s is not None:
        return True
    if sandbox.settings.is_managed:
        return runtime.seen_workers >= sandbox.settings.max_concurrency
    return runtime.first_next_s is not None


def restore(sandbox: Sandbox) -> Fault | None:
    """SnapStart: the processes of the snapshot go on, an hour later by the time of the events."""
    started_s = time.monotonic()
    telemetry = sandbox.telemetry
    telemetry.shift_ns = 0
    telemetry.platform("restoreStart", events.restore_start(sandbox))
    with sandbox.changed:
        sandbox.runtime.may_restore = True
        sandbox.changed.notify_all()
    deadline_s = started_s + sandbox.settings.init_timeout_s
    fault = sandbox.wait(lambda: sandbox.runtime.first_next_s is not None, deadline_s)
    status = events.status(fault)
    telemetry.platform("restoreRuntimeDone", status)
    sandbox.restore_s = time.monotonic() - started_s
    telemetry.platform("restoreReport", status | {"metrics": {"durationMs": ms(sandbox.restore_s)}})
    sandbox.init_s = None
    return fault


def invoke(sandbox: Sandbox, invocation: Invocation, deadline_s: float) -> Fault | None:
    """One invocation, until the runtime and all extensions are idle again or something broke."""
    if sandbox.settings.is_managed:
        return _invoke_managed(sandbox, invocation, deadline_s)
    _emit_report_of_before(sandbox, "next")
    sandbox.telemetry.platform("start", events.start(sandbox, invocation))
    with sandbox.changed:
        sandbox.runtime.begin(invocation)
        for extension in sandbox.extensions.values():
            if "INVOKE" in extension.events:
                extension.queue.append(events.invoke(sandbox, invocation))
        sandbox.changed.notify_all()
    _emit_report_of_before(sandbox, "late")
    fault = sandbox.wait(lambda: invocation.runtime_done_s is not None, deadline_s)
    runtime_done_s = invocation.runtime_done_s or time.monotonic()
    sandbox.output.pump()
    sandbox.telemetry.platform("runtimeDone", events.runtime_done(invocation, runtime_done_s, fault))
    if fault is not None and fault.status != "timeout":
        # The runtime's output has closed, and with it ends the wait for a full buffer.
        sandbox.telemetry.flush()
    fault = fault or sandbox.wait(sandbox.all_idle, deadline_s)
    _keep_report(sandbox, invocation, runtime_done_s, fault)
    sandbox.runtime.forget(invocation)
    sandbox.invocations += 1
    return fault


def _invoke_managed(sandbox: Sandbox, invocation: Invocation, deadline_s: float) -> Fault | None:
    sandbox.telemetry.platform("start", events.start(sandbox, invocation))
    with sandbox.changed:
        sandbox.runtime.begin(invocation)
        sandbox.changed.notify_all()
    fault = sandbox.wait(lambda: invocation.is_responded, deadline_s)
    sandbox.output.pump()
    sandbox.telemetry.platform("report", events.managed_report(invocation, time.monotonic(), fault))
    with sandbox.changed:
        sandbox.runtime.forget(invocation)
        if invocation in sandbox.runtime.waiting:
            sandbox.runtime.waiting.remove(invocation)
    return fault


def _keep_report(
    sandbox: Sandbox, invocation: Invocation, runtime_done_s: float, fault: Fault | None
) -> None:
    """Measure now; when it is emitted is the scenario's choice."""
    idle_s = time.monotonic()
    at_ns = time.time_ns()
    sandbox.most_memory_mb = max(sandbox.most_memory_mb, sandbox.physics.memory_used_mb(sandbox.processes()))
    record = events.report(sandbox, invocation, runtime_done_s, idle_s, fault)
    sandbox.init_s = sandbox.restore_s = None

    def emit() -> None:
        sandbox.telemetry.platform("report", record, at_ns)

    match sandbox.settings.report:
        case "never":
            pass
        case "next":
            emit()
        case "late" | "shutdown-window":
            sandbox.pending_report = emit


def _emit_report_of_before(sandbox: Sandbox, moment: str) -> None:
    wanted = "late" if sandbox.settings.report == "late" else "next"
    if moment == wanted:
        _emit_pending_report(sandbox)


def _emit_pending_report(sandbox: Sandbox) -> None:
    if emit := sandbox.pending_report:
        sandbox.pending_report = None
        emit()


def shutdown(sandbox: Sandbox, reason: str) -> list[Exit]:
    """SIGTERM for the runtime, SHUTDOWN for the extensions, SIGKILL for whoever outstays the deadline."""
    sandbox.thaw()
    started_s = time.monotonic()
    externals = sandbox.external()
    with sandbox.changed:
        sandbox.is_ending = True
    deadline_s = started_s + (sandbox.settings.shutdown_s if externals else 0.0)
    _stop_runtime(sandbox, is_graceful=bool(externals))
    sandbox.output.pump()
    sandbox.telemetry.flush()
    if sandbox.settings.is_managed:
        # Only there does Lambda wait for its own telemetry before it says SHUTDOWN.
        sandbox.telemetry.wait_until_idle(_MANAGED_FLUSH_S)
    sent_s = time.monotonic()
    event = {
        "eventType": "SHUTDOWN",
        "shutdownReason": reason,
        "deadlineMs": epoch_ms(deadline_s - sent_s),
    }
    with sandbox.changed:
        for extension in externals:
            if "SHUTDOWN" in extension.events:
                extension.queue.append(event)
        sandbox.changed.notify_all()
    for extension in externals:
        if "SHUTDOWN" not in extension.events and extension.process:
            extension.process.kill()
    _last_report(sandbox, deadline_s)
    exits = []
    for extension in externals:
        process = extension.process
        if process is None:
            continue
        process.exited.wait(max(deadline_s - time.monotonic(), 0))
        if not process.exited.is_set():
            process.kill()
            process.join()
        seconds = (process.exited_s or time.monotonic()) - sent_s
        exits.append(Exit(extension.name, process.code, process.was_killed, seconds))
    sandbox.close()
    return exits


def _stop_runtime(sandbox: Sandbox, is_graceful: bool) -> None:
    process = sandbox.runtime.process
    if process is None:
        return
    if is_graceful:
        process.signal(signal.SIGTERM)
        process.exited.wait(sandbox.settings.runtime_shutdown_s)
    process.kill()
    process.join()


def _last_report(sandbox: Sandbox, deadline_s: float) -> None:
    """The report that comes after SHUTDOWN was sent, for an extension that stays to listen."""
    if sandbox.pending_report is None:
        return
    leaves_s = min(time.monotonic() + sandbox.settings.report_delay_s, deadline_s)
    with sandbox.changed:
        while (left_s := leaves_s - time.monotonic()) > 0:
            sandbox.changed.wait(left_s)
    _emit_pending_report(sandbox)
    sandbox.telemetry.flush()
