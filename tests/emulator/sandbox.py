"""One execution environment from init to shutdown: its processes, its APIs and its state.

`changed` guards all state of extensions, runtime and invocations.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .clock import SandboxClock
from .deadlines import Deadline, RunDelay
from .extensions_api import ExtensionsApi
from .metadata_api import MetadataApi
from .observations import Call, Exit, Observations
from .output import Lines, Output
from .processes import Process, Reaper
from .resource_control import ResourceControl
from .runtime_api import RuntimeApi
from .server import HungUpError, Reply, Request, Server
from .settings import Settings
from .state import Extension, Fault, Runtime
from .telemetry import Telemetry
from .telemetry_api import TelemetryApi


class Sandbox:
    """A new one is created for every init; `phases` contains what happens in it, in order."""

    def __init__(
        self, settings: Settings, *, tmp: Path, control: ResourceControl, observed: Observations, phase: str
    ) -> None:
        self.settings, self.tmp, self.control = settings, tmp, control
        self.observed, self.phase = observed, phase
        self.changed = threading.Condition()
        self.clock = SandboxClock()
        self.run_delay = RunDelay(self._pids)
        self._reaper = Reaper()
        self.telemetry = Telemetry(settings, self.clock, observed)
        self.output = Output()
        self.runtime = Runtime()
        self.extensions: dict[str, Extension] = {}
        self.fault: Fault | None = None
        self.is_init_done = self.is_ending = self.is_over = False
        self.is_frozen = False
        self.init_deadline: Deadline | None = None
        self.init_s: float | None = None
        """Duration of init; None after it was billed with an invocation."""
        self.restore_s: float | None = None
        self.pending_report: Callable[[], None] | None = None
        self.invocations = 0
        self.most_memory_mb = 0
        self.instance_id = f"{time.strftime('%Y/%m/%d')}/{settings.name}[{settings.version}]{secrets.token_hex(16)}"
        self.metadata_token = secrets.token_hex(8)
        apis = (RuntimeApi(self), ExtensionsApi(self), TelemetryApi(self), MetadataApi(self))
        self.server = Server([route for api in apis for route in api.routes()], self._observe)

    # Waiting and failing.

    def deadline(self, limit_s: float) -> Deadline:
        """Return Lambda's deadline in *limit_s* from now. A CPU share takes its time from the function, though."""
        return Deadline(limit_s, None if self.settings.cpu_share else self.run_delay)

    def invocation_deadline(self) -> Deadline:
        """Return the deadline of an invocation that begins now: a suppressed init is part of its time."""
        if self.phase == "invoke" and not self.invocations and self.init_deadline:
            return self.init_deadline
        return self.deadline(self.settings.timeout_s)

    def wait(self, condition: Callable[[], bool], deadline: Deadline) -> Fault | None:
        """Block until *condition* holds; return the first fault instead. A passed deadline is a fault."""
        with self.changed:
            while not condition():
                if self.fault is not None:
                    return self.fault
                if self.is_over:
                    return Fault("failure", "Sandbox.Failure", "the environment was abandoned")
                left_s = deadline.left_s()
                if left_s <= 0:
                    return Fault("timeout", None, "timed out")
                self.changed.wait(left_s)
        return None

    def fail(self, fault: Fault) -> None:
        """Store what makes this sandbox unusable. Only the first fault counts, and none during shutdown."""
        with self.changed:
            if self.fault is None and not self.is_ending:
                self.fault = fault
            self.changed.notify_all()

    def are_all_idle(self) -> bool:
        """Whether every extension that receives INVOKE waits for its next event."""
        return all(e.is_idle for e in self.extensions.values() if "INVOKE" in e.events)

    def are_all_ready(self) -> bool:
        return all(e.has_called_next for e in self.extensions.values())

    def external(self) -> list[Extension]:
        return [e for e in self.extensions.values() if e.process is not None]

    # Processes.

    def launch_extensions(self) -> None:
        """Execute every file of opt/extensions; the first that cannot be started is the fault."""
        for path in self.settings.extension_files():
            extension = self.extensions[path.name] = Extension(path.name, is_external=True)
            env = self.settings.extension_variables(self.server.address, self.tmp, self.metadata_token)
            try:
                extension.process = self._launch(path.name, [str(path.resolve())], env, self.telemetry.extension)
            except OSError as exc:
                extension.state, extension.error_type = "LaunchError", type(exc).__name__
                self.fail(Fault("error", "Extension.LaunchError", str(exc), path.name))
                return
            extension.process.watch()

    def launch_runtime(self) -> None:
        """Start the function: awslambdaric with the handler, or the bootstrap of the settings."""
        settings = self.settings
        argv = settings.bootstrap or [sys.executable, "-m", "awslambdaric", settings.handler]
        env = settings.runtime_variables(self.server.address, self.tmp)
        if settings.is_managed:
            provider = self.tmp / f".log-{secrets.token_hex(4)}"
            self.output.listen(str(provider), lambda: Lines(self.telemetry.function))
            env["_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"] = str(provider)
        try:
            self.runtime.process = self._launch(
                "runtime", argv, env, self.telemetry.function, is_framed=not settings.is_managed
            )
        except OSError as exc:
            self.fail(Fault("error", "Runtime.InvalidEntrypoint", str(exc)))
            return
        self.runtime.process.watch()

    def processes(self) -> list[Process]:
        candidates = [self.runtime.process, *(e.process for e in self.extensions.values())]
        return [process for process in candidates if process is not None]

    def _pids(self) -> list[int]:
        # Lambda's side runs in this process, and a busy machine delays it, too.
        return [os.getpid(), *(process.pid for process in self.processes())]

    def _launch(
        self, name: str, argv: Sequence[str], env: dict[str, str], sink: Callable[..., None], is_framed: bool = False
    ) -> Process:
        cwd = self.settings.task if name == "runtime" else self.settings.extension_cwd or self.settings.task
        process = Process(
            name,
            argv,
            env=env,
            cwd=cwd,
            output=self.output,
            sink=sink,
            is_framed=is_framed,
            user=None if name == "runtime" else self.settings.extension_user,
            on_exit=self._exited,
        )
        self._reaper.add(process.pid)
        self.control.admit(process.pid)
        return process

    def _exited(self, process: Process) -> None:
        if process is self.runtime.process:
            is_out_of_memory = self.control.has_killed_for_memory()
            error_type = "Runtime.OutOfMemory" if is_out_of_memory else "Runtime.ExitError"
            message = f"Runtime exited with error: {process.cause}"
            if process.code == 0:
                message = "Runtime exited without providing a reason"
            self.fail(Fault("error", error_type, message))
        else:
            self.fail(Fault("error", "Extension.Crash", process.cause, process.name))

    # Time.

    def freeze(self) -> None:
        """Stop Lambda's timers and, with the setting `freeze`, every process."""
        self.clock.stop()
        if self.settings.freeze:
            self.freeze_processes()

    def freeze_processes(self) -> None:
        self.clock.stop()
        self.is_frozen = True
        self.control.freeze(self.processes())

    def thaw(self) -> None:
        if self.is_frozen:
            self.control.thaw(self.processes())
            self.is_frozen = False
        self.clock.resume()
        self.telemetry.wake()

    # The end.

    def close(self) -> list[Exit]:
        """Kill what still runs and release everything."""
        with self.changed:
            self.is_ending = self.is_over = True
            self.changed.notify_all()
        self.thaw()
        for process in self.processes():
            process.kill()
            process.join()
        self.control.kill_remaining()
        self._reaper.close()
        self.telemetry.close()
        self.server.close()
        self.output.close()
        return [Exit(e.name, e.process.code, e.process.was_killed, 0.0) for e in self.extensions.values() if e.process]

    def _observe(self, request: Request, dispatch: Callable[[], Reply]) -> Reply:
        """Record the call when it arrives, and its outcome when there is one."""
        identifier = request.headers.get("Lambda-Extension-Identifier")
        name = request.headers.get("Lambda-Extension-Name")
        with self.changed:
            known = next((e.name for e in self.extensions.values() if identifier and e.id == identifier), None)
        caller = known or name or ("runtime" if "/runtime/" in request.path else "?")
        number = self.observed.request_started(Call(caller, request.method, request.path, time.monotonic()))
        reply = dispatch()
        if self.is_over:
            raise HungUpError
        self.observed.request_completed(number, status=reply.status, result=reply.summary, completed_s=time.monotonic())
        return reply
