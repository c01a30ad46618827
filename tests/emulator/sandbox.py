"""One life of an execution environment: its processes, its APIs, and what they wait for.

All state of extensions, runtime and invocations is guarded by `changed`.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .actors import Extension, Fault, Runtime
from .clock import SandboxClock
from .extensions_api import ExtensionsApi
from .observations import Call, Exit, Observations
from .output import Lines, Output
from .physics import Physics
from .processes import Process
from .runtime_api import RuntimeApi
from .server import HungUpError, Reply, Request, Server
from .settings import Settings
from .telemetry import Telemetry
from .telemetry_api import TelemetryApi


class Sandbox:
    """Made anew for every init; `phases` tells what happens in it and in which order."""

    def __init__(
        self, settings: Settings, tmp: Path, physics: Physics, seen: Observations, phase: str
    ) -> None:
        self.settings, self.tmp, self.physics, self.seen, self.phase = settings, tmp, physics, seen, phase
        self.changed = threading.Condition()
        self.clock = SandboxClock()
        self.telemetry = Telemetry(settings, self.clock, seen)
        self.output = Output()
        self.runtime = Runtime()
        self.extensions: dict[str, Extension] = {}
        self.fault: Fault | None = None
        self.is_init_done = self.is_ending = self.is_over = False
        self.is_frozen = False
        self.init_s: float | None = None
        """How long init took; None once it has been billed with an invocation."""
        self.restore_s: float | None = None
        self.pending_report: Callable[[], None] | None = None
        self.invocations = 0
        self.most_memory_mb = 0
        self.instance_id = (
            f"{time.strftime('%Y/%m/%d')}/{settings.name}[{settings.version}]{secrets.token_hex(16)}"
        )
        apis = (RuntimeApi(self), ExtensionsApi(self), TelemetryApi(self))
        self.server = Server([route for api in apis for route in api.routes()], self._observe)

    # Waiting and failing.

    def wait(self, is_so: Callable[[], bool], deadline_s: float) -> Fault | None:
        """Block until *is_so*; the fault that came first otherwise. Passing the deadline is one."""
        with self.changed:
            while not is_so():
                if self.fault is not None:
                    return self.fault
                if self.is_over:
                    return Fault("failure", "Sandbox.Failure", "the environment was abandoned")
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return Fault("timeout", None, "timed out")
                self.changed.wait(left_s)
        return None

    def fail(self, fault: Fault) -> None:
        """Note what makes this sandbox unusable; the first fault counts, and none while it ends."""
        with self.changed:
            if self.fault is None and not self.is_ending:
                self.fault = fault
            self.changed.notify_all()

    def all_idle(self) -> bool:
        """Every extension that is told about invocations asked for its next event."""
        return all(e.is_idle for e in self.extensions.values() if "INVOKE" in e.events)

    def is_each_ready(self) -> bool:
        return all(e.has_asked for e in self.extensions.values())

    def external(self) -> list[Extension]:
        return [e for e in self.extensions.values() if e.process is not None]

    # Processes.

    def launch_extensions(self) -> None:
        """Exec every file of opt/extensions; the first that will not start is the fault."""
        for path in self.settings.extension_files():
            extension = self.extensions[path.name] = Extension(path.name, is_external=True)
            env = self.settings.extension_variables(self.server.address, self.tmp, secrets.token_hex(8))
            try:
                extension.process = self._launch(
                    path.name, [str(path.resolve())], env, self.telemetry.extension
                )
            except OSError as exc:
                extension.state, extension.error_type = "LaunchError", type(exc).__name__
                self.fail(Fault("error", "Extension.LaunchError", str(exc), path.name))
                return
            extension.process.watch()

    def launch_runtime(self) -> None:
        """Start the function: awslambdaric with the handler, or the bootstrap that was asked for."""
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

    def _launch(
        self,
        who: str,
        argv: Sequence[str],
        env: dict[str, str],
        sink: Callable[..., None],
        is_framed: bool = False,
    ) -> Process:
        cwd = self.settings.task if who == "runtime" else self.settings.extension_cwd or self.settings.task
        process = Process(
            who,
            argv,
            env=env,
            cwd=cwd,
            output=self.output,
            sink=sink,
            is_framed=is_framed,
            on_exit=self._exited,
        )
        self.physics.admit(process.pid)
        return process

    def _exited(self, process: Process) -> None:
        if process is self.runtime.process:
            is_out_of_memory = self.physics.took_a_life()
            error_type = "Runtime.OutOfMemory" if is_out_of_memory else "Runtime.ExitError"
            message = f"Runtime exited with error: {process.cause}"
            if process.code == 0:
                message = "Runtime exited without providing a reason"
            self.fail(Fault("error", error_type, message))
        else:
            self.fail(Fault("error", "Extension.Crash", process.cause, process.who))

    # Time.

    def freeze(self) -> None:
        """Stop Lambda's timers and, when asked for, every process in mid-instruction."""
        self.clock.stop()
        if self.settings.freeze:
            self.freeze_processes()

    def freeze_processes(self) -> None:
        self.clock.stop()
        self.is_frozen = True
        self.physics.freeze(self.processes())

    def thaw(self) -> None:
        if self.is_frozen:
            self.physics.thaw(self.processes())
            self.is_frozen = False
        self.clock.go_on()
        self.telemetry.wake()

    # The end.

    def close(self) -> list[Exit]:
        """Kill what still runs and let go of everything; nothing is left behind."""
        with self.changed:
            self.is_ending = self.is_over = True
            self.changed.notify_all()
        self.thaw()
        for process in self.processes():
            process.kill()
            process.join()
        self.physics.kill_the_rest()
        self.telemetry.close()
        self.server.close()
        self.output.close()
        return [
            Exit(e.name, e.process.code, e.process.was_killed, 0.0)
            for e in self.extensions.values()
            if e.process
        ]

    def _observe(self, request: Request, dispatch: Callable[[], Reply]) -> Reply:
        """Note the call at the moment it was asked, and the answer when there is one."""
        identifier = request.headers.get("Lambda-Extension-Identifier")
        name = request.headers.get("Lambda-Extension-Name")
        with self.changed:
            known = next(
                (e.name for e in self.extensions.values() if identifier and e.id == identifier), None
            )
        who = known or name or ("runtime" if "/runtime/" in request.path else "?")
        number = self.seen.asked(Call(who, request.method, request.path, time.monotonic()))
        reply = dispatch()
        if self.is_over:
            raise HungUpError
        self.seen.answered(number, status=reply.status, answer=reply.about, answered_s=time.monotonic())
        return reply
