"""The phases of a sandbox, in the order in which they happen: init, restore, invoke, shutdown."""

from __future__ import annotations

import signal
import time
from typing import Any

from . import events
from .clock import ms
from .deadlines import Deadline
from .observations import Exit
from .processes import Process
from .sandbox import Sandbox
from .settings import SNAP_START
from .state import Extension, Fault, Invocation

# Lambda does not document how long it waits.
_MANAGED_FLUSH_S = 5.0
_SAMPLING_S = 0.05


def init(sandbox: Sandbox) -> Fault | None:
    """Start the extensions, the runtime once all have registered; wait until all called `next`."""
    assert sandbox.init_deadline is not None
    deadline = sandbox.init_deadline
    started_s = time.monotonic()
    settings, telemetry = sandbox.settings, sandbox.telemetry
    is_snapshot = settings.initialization_type == SNAP_START and sandbox.phase != "invoke"
    if is_snapshot:
        telemetry.shift_ns = -int(settings.snapshot_age_s * 1e9)
    telemetry.platform("initStart", events.init_start(sandbox))
    sandbox.launch_extensions()
    fault = sandbox.wait(lambda: all(e.is_registered for e in sandbox.external()), deadline)
    if fault is None:
        sandbox.launch_runtime()
        fault = sandbox.wait(lambda: _is_runtime_ready(sandbox, is_snapshot), deadline)
    telemetry.platform("initRuntimeDone", events.init_runtime_done(sandbox, fault))
    if fault is None:
        fault = sandbox.wait(sandbox.are_all_ready, deadline)
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
        sandbox.control.throttle()
    return fault


def _is_runtime_ready(sandbox: Sandbox, is_snapshot: bool) -> bool:
    runtime = sandbox.runtime
    if is_snapshot and runtime.restore_requested_s is not None:
        return True
    if sandbox.settings.is_managed:
        return runtime.most_waiting_workers >= sandbox.settings.max_concurrency
    return runtime.first_next_s is not None


def restore(sandbox: Sandbox) -> Fault | None:
    """SnapStart: resume the processes of the snapshot. By the time of the events, an hour has passed."""
    started_s = time.monotonic()
    telemetry = sandbox.telemetry
    telemetry.shift_ns = 0
    telemetry.platform("restoreStart", events.restore_start(sandbox))
    with sandbox.changed:
        sandbox.runtime.may_restore = True
        sandbox.changed.notify_all()
    deadline = sandbox.deadline(sandbox.settings.init_timeout_s)
    fault = sandbox.wait(lambda: sandbox.runtime.first_next_s is not None, deadline)
    status = events.status(fault)
    telemetry.platform("restoreRuntimeDone", status)
    sandbox.restore_s = time.monotonic() - started_s
    telemetry.platform("restoreReport", status | {"metrics": {"durationMs": ms(sandbox.restore_s)}})
    sandbox.init_s = None
    return fault


def invoke(sandbox: Sandbox, invocation: Invocation, deadline: Deadline) -> Fault | None:
    """Run one invocation until the runtime and all extensions are idle again, or until a fault."""
    if sandbox.settings.is_managed:
        return _invoke_managed(sandbox, invocation, deadline)
    _emit_previous_report(sandbox, "next")
    sandbox.telemetry.platform("start", events.start(sandbox, invocation))
    with sandbox.changed:
        sandbox.runtime.begin(invocation)
        for extension in sandbox.extensions.values():
            if "INVOKE" in extension.events:
                extension.queue.append(events.invoke(sandbox, invocation))
        sandbox.changed.notify_all()
    _emit_previous_report(sandbox, "late")
    fault = sandbox.wait(lambda: invocation.runtime_done_s is not None, deadline)
    runtime_done_s = invocation.runtime_done_s or time.monotonic()
    sandbox.output.pump()
    sandbox.telemetry.platform("runtimeDone", events.runtime_done(invocation, runtime_done_s, fault))
    if fault is not None and fault.status != "timeout":
        # Lambda sends what is buffered when the runtime's output closes.
        sandbox.telemetry.flush()
    fault = fault or sandbox.wait(sandbox.are_all_idle, deadline)
    _prepare_report(sandbox, invocation, runtime_done_s, fault)
    sandbox.runtime.forget(invocation)
    sandbox.invocations += 1
    return fault


def _invoke_managed(sandbox: Sandbox, invocation: Invocation, deadline: Deadline) -> Fault | None:
    sandbox.telemetry.platform("start", events.start(sandbox, invocation))
    with sandbox.changed:
        sandbox.runtime.begin(invocation)
        sandbox.changed.notify_all()
    fault = sandbox.wait(lambda: invocation.is_responded, deadline)
    sandbox.output.pump()
    sandbox.telemetry.platform("report", events.managed_report(invocation, time.monotonic(), fault))
    with sandbox.changed:
        sandbox.runtime.forget(invocation)
        if invocation in sandbox.runtime.waiting:
            sandbox.runtime.waiting.remove(invocation)
    return fault


def _prepare_report(sandbox: Sandbox, invocation: Invocation, runtime_done_s: float, fault: Fault | None) -> None:
    """Build the report now and emit it when the settings ask for it."""
    idle_s = time.monotonic()
    at_ns = time.time_ns()
    sandbox.most_memory_mb = max(sandbox.most_memory_mb, sandbox.control.memory_used_mb(sandbox.processes()))
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


def _emit_previous_report(sandbox: Sandbox, moment: str) -> None:
    wanted = "late" if sandbox.settings.report == "late" else "next"
    if moment == wanted:
        _emit_pending_report(sandbox)


def _emit_pending_report(sandbox: Sandbox) -> None:
    if emit := sandbox.pending_report:
        sandbox.pending_report = None
        emit()


def shutdown(sandbox: Sandbox, reason: str) -> list[Exit]:
    """Send SIGTERM to the runtime, SHUTDOWN to the extensions, SIGKILL to those that miss the deadline."""
    sandbox.thaw()
    externals = sandbox.external()
    with sandbox.changed:
        sandbox.is_ending = True
    deadline = sandbox.deadline(sandbox.settings.shutdown_s if externals else 0.0)
    _stop_runtime(sandbox, is_graceful=bool(externals))
    sandbox.output.pump()
    sandbox.telemetry.flush()
    if sandbox.settings.is_managed:
        # Only there does Lambda deliver its own telemetry before it sends SHUTDOWN.
        sandbox.telemetry.wait_until_idle(_MANAGED_FLUSH_S)
    sent_s, delay_before_s = time.monotonic(), sandbox.run_delay.total_s()
    _send_shutdown(sandbox, externals, {"shutdownReason": reason, "deadlineMs": deadline.unix_ms})
    _emit_last_report(sandbox, deadline)
    exits = []
    for extension in externals:
        process = extension.process
        if process is None:
            continue
        _wait_for_exit(sandbox, process, deadline)
        seconds = (process.exited_s or time.monotonic()) - sent_s
        delay_s = sandbox.run_delay.total_s() - delay_before_s
        exits.append(Exit(extension.name, process.code, process.was_killed, seconds, delay_s))
    sandbox.close()
    return exits


def _send_shutdown(sandbox: Sandbox, extensions: list[Extension], record: dict[str, Any]) -> None:
    """Queue the event for those that registered for it and kill the others."""
    with sandbox.changed:
        for extension in extensions:
            if "SHUTDOWN" in extension.events:
                extension.queue.append({"eventType": "SHUTDOWN"} | record)
        sandbox.changed.notify_all()
    for extension in extensions:
        if "SHUTDOWN" not in extension.events and extension.process:
            extension.process.kill()


def _wait_for_exit(sandbox: Sandbox, process: Process, deadline: Deadline) -> None:
    while not process.exited.is_set() and (left_s := deadline.left_s()) > 0:
        process.exited.wait(min(left_s, _SAMPLING_S))
        # While it runs: the kernel forgets the figures of threads that have ended.
        sandbox.run_delay.total_s()
    if not process.exited.is_set():
        process.kill()
    process.join()


def _stop_runtime(sandbox: Sandbox, *, is_graceful: bool) -> None:
    process = sandbox.runtime.process
    if process is None:
        return
    if is_graceful:
        process.signal(signal.SIGTERM)
        process.exited.wait(sandbox.settings.runtime_shutdown_s)
    process.kill()
    process.join()


def _emit_last_report(sandbox: Sandbox, deadline: Deadline) -> None:
    """Emit the report that comes after SHUTDOWN was sent, for an extension that still listens."""
    if sandbox.pending_report is None:
        return
    emitted_s = min(time.monotonic() + sandbox.settings.report_delay_s, deadline.nominal_s)
    with sandbox.changed:
        while (left_s := emitted_s - time.monotonic()) > 0:
            sandbox.changed.wait(left_s)
    _emit_pending_report(sandbox)
    sandbox.telemetry.flush()
