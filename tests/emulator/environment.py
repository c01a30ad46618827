"""`Lambda`: one function with its extensions, driven by a test."""

from __future__ import annotations

import queue
import secrets
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from . import phases
from .observations import Exit, Observations
from .resource_control import ResourceControl
from .results import InvocationResult, invocation_result, new_trace
from .sandbox import Sandbox
from .settings import SNAP_START, Settings
from .state import Fault, Invocation, epoch_ms


class Lambda:
    """A context manager that runs init on entering and shutdown on leaving.

    Invocations run one at a time, except on managed instances. *settings* are the fields of `Settings`.
    """

    def __init__(self, *, opt: Path | str, task: Path | str, cut: Any = None, **settings: Any) -> None:
        self.settings = Settings(
            opt=Path(opt), task=Path(task), cut="by-size" if cut is True else cut or None, **settings
        )
        self.observed = observed = Observations(remember=self.settings.remember)
        # Lists that grow while the environment runs and stay readable after it.
        self.calls, self.posts = observed.calls, observed.posts
        self.emitted, self.delivered, self.dropped = observed.emitted, observed.delivered, observed.dropped
        self.extension_output, self.function_output = observed.extension_output, observed.function_output
        self.resets = observed.resets
        self.enforced_by: dict[str, str] = {}
        """The means by which freezing, CPU share and memory limit are enforced on this machine."""
        self.init_fault: Fault | None = None
        self._sandbox: Sandbox | None = None
        self._tmp: Path | None = None
        self._control: ResourceControl | None = None
        self._has_run = False
        self._busy = threading.RLock()
        self._background: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
        self.wait_for_end()
        self.shutdown()
        self._release()

    # Actions.

    def start(self) -> Fault | None:
        """Create the environment and run its init phase; return its fault, if any."""
        with self._busy:
            if self._sandbox is None:
                phase = "snap-start" if self.settings.initialization_type == SNAP_START else "init"
                self.init_fault = self._begin(phase, self.settings.init_timeout_s)
            return self.init_fault

    def invoke(
        self, payload: Any = None, *, trace: str | None = "", request_id: str | None = None, wait: str = "idle"
    ) -> InvocationResult:
        """Invoke once. With *wait* "idle" return when runtime and extensions are idle, with "response" before.

        A *trace* of None sends no trace header, an empty one a new header.
        """
        if wait == "idle":
            return self._invoke(payload, trace, request_id, None)
        results: queue.Queue[InvocationResult] = queue.Queue()
        thread = threading.Thread(
            target=lambda: results.put(self._invoke(payload, trace, request_id, results.put)), name="invocation"
        )
        self._background.append(thread)
        thread.start()
        return results.get()

    def invoke_many(self, payloads: Sequence[Any], at_once: int = 16) -> list[InvocationResult]:
        """Run concurrent invocations on managed instances; return results in the order of *payloads*."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(self.invoke, payloads))

    def shutdown(self, reason: str = "spindown") -> list[Exit]:
        """End the environment; a later invocation starts a new one with a new /tmp."""
        self.wait_for_end()
        with self._busy:
            if self._sandbox is None:
                return []
            sandbox, self._sandbox = self._sandbox, None
            exits = phases.shutdown(sandbox, reason)
            self._has_run = False
            self._release()
            return exits

    def wait_for_end(self) -> None:
        """Block until every invocation has ended, its extensions included; the environment is frozen then."""
        while self._background:
            self._background.pop().join()

    def freeze(self) -> None:
        """Stop every process and Lambda's own timers."""
        if self._sandbox:
            self._sandbox.freeze_processes()

    def thaw(self) -> None:
        if self._sandbox:
            self._sandbox.thaw()

    def kill_out_of_memory(self) -> None:
        """Kill the runtime as the kernel does at the memory limit."""
        if self._sandbox and self._sandbox.runtime.process and self._control:
            self._control.kill_on_request(self._sandbox.runtime.process)

    def wait_until_delivered(self, timeout_s: float = 30.0) -> bool:
        """Wait until the extensions received everything; True if they did. On managed instances timers keep running."""
        sandbox = self._sandbox
        return sandbox is not None and sandbox.telemetry.wait_until_idle(timeout_s)

    # State.

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of calls, emitted, delivered, dropped events, posts, ..."""
        return dict(self.observed.counts)

    @property
    def tmp(self) -> Path:
        """The environment's /tmp."""
        assert self._tmp is not None
        return self._tmp

    def pids(self) -> dict[str, int]:
        """Return the process ids by name; the runtime is called "runtime"."""
        return {p.name: p.pid for p in self._sandbox.processes()} if self._sandbox else {}

    def run_delay_s(self) -> float:
        """Return how long threads of this environment and process have waited for a CPU since init."""
        return self._sandbox.run_delay.total_s() if self._sandbox else 0.0

    # Internals.

    def _begin(self, phase: str, timeout_s: float) -> Fault | None:
        if self._tmp is None:
            self._tmp = Path(tempfile.mkdtemp(prefix="lambda-"))
            if self.settings.extension_user is not None:
                self._tmp.chmod(0o1777)
        if self._control is None:
            self._control = ResourceControl(
                cpu_share=self.settings.cpu_share,
                memory_limit=self.settings.memory_limit,
                memory_mb=self.settings.memory_mb,
                signals_only=self.settings.freeze == "signals",
            )
            self.enforced_by = self._control.enforced_by
        self._control.release()
        sandbox = self._sandbox = Sandbox(
            self.settings, tmp=self._tmp, control=self._control, observed=self.observed, phase=phase
        )
        sandbox.init_deadline = sandbox.deadline(timeout_s)
        self._has_run = True
        fault = phases.init(sandbox)
        if fault is not None:
            self._reset(sandbox, fault)
        elif not self.settings.is_managed:
            sandbox.freeze()
        return fault

    def _reset(self, sandbox: Sandbox, fault: Fault) -> None:
        """End the processes and keep /tmp."""
        self._sandbox = None
        self.observed.add("resets", (fault.reason, phases.shutdown(sandbox, fault.reason)))

    def _release(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        if self._tmp:
            shutil.rmtree(self._tmp, ignore_errors=True)
        self._tmp = None

    def _abandon(self) -> None:
        """End everything without SHUTDOWN: the test has failed."""
        if self._sandbox:
            self._sandbox.close()
            self._sandbox = None
        self._release()

    def _invoke(self, payload: Any, trace: str | None, request_id: str | None, respond: Any) -> InvocationResult:
        if self.settings.is_managed:
            return self._invoke_once(payload, trace, request_id, None)
        with self._busy:
            return self._invoke_once(payload, trace, request_id, respond)

    def _invoke_once(self, payload: Any, trace: str | None, request_id: str | None, respond: Any) -> InvocationResult:
        timeout_s = self.settings.timeout_s
        invocation = Invocation(
            request_id=request_id or str(uuid.uuid4()),
            payload=orjson.dumps(payload),
            trace=new_trace() if trace == "" else trace,
            span_id=secrets.token_hex(8),
            deadline_ms=epoch_ms(timeout_s),
            started_s=time.monotonic(),
            started_ns=time.time_ns(),
            on_response=lambda: respond(invocation_result(invocation, None, self.settings)) if respond else None,
        )
        sandbox, fault = self._ready_sandbox(timeout_s)
        if fault is None:
            assert sandbox is not None
            fault = phases.invoke(sandbox, invocation, sandbox.invocation_deadline())
            self._after(sandbox, fault)
        return invocation_result(invocation, fault, self.settings)

    def _ready_sandbox(self, timeout_s: float) -> tuple[Sandbox | None, Fault | None]:
        """Return the thawed environment, created within this invocation if there is none."""
        with self._busy:
            fault = None
            if self._sandbox is None:
                is_suppressed = self._has_run and not self.settings.is_managed
                limit_s = timeout_s if is_suppressed else self.settings.init_timeout_s
                fault = self._begin("invoke" if is_suppressed else "init", limit_s)
            sandbox = self._sandbox
            if sandbox is not None:
                sandbox.thaw()
                if sandbox.runtime.restore_requested_s is not None and not sandbox.runtime.may_restore:
                    fault = phases.restore(sandbox)
                    if fault is not None:
                        self._reset(sandbox, fault)
            return sandbox, fault

    def _after(self, sandbox: Sandbox, fault: Fault | None) -> None:
        with self._busy:
            if self._sandbox is not sandbox:
                return
            is_lasting = self.settings.is_managed and (fault is None or fault.status == "timeout")
            if fault is not None and not is_lasting:
                self._reset(sandbox, fault)
            elif not self.settings.is_managed:
                sandbox.freeze()
