"""`Lambda`: one function with its extensions, as a test drives it."""

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
from .actors import Fault, Invocation, epoch_ms
from .answers import Response, answer, new_trace
from .observations import Exit, Observations
from .physics import Physics
from .sandbox import Sandbox
from .settings import SNAP_START, Settings


class Lambda:
    """A context manager: init on entering, shutdown on leaving. Invocations one at a time,
    but on managed instances. Settings are the fields of `Settings`."""

    def __init__(self, *, opt: Path | str, task: Path | str, cut: Any = None, **settings: Any) -> None:
        self.settings = Settings(
            opt=Path(opt), task=Path(task), cut="by-size" if cut is True else cut or None, **settings
        )
        self.seen = seen = Observations(remember=self.settings.remember)
        # Live lists, in the order of things; they outlast the environment.
        self.calls, self.posts = seen.calls, seen.posts
        self.emitted, self.delivered, self.dropped = seen.emitted, seen.delivered, seen.dropped
        self.extension_output, self.function_output = seen.extension_output, seen.function_output
        self.resets = seen.resets
        self.physics: dict[str, str] = {}
        """What is really in force of freezing, CPU share and memory limit."""
        self.init_fault: Fault | None = None
        self._sandbox: Sandbox | None = None
        self._tmp: Path | None = None
        self._physics: Physics | None = None
        self._has_lived = False
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
        self._join()
        self.shutdown()
        self._leave()

    # What a test does.

    def start(self) -> Fault | None:
        """Begin the environment and run its init phase; what went wrong with it is the answer."""
        with self._busy:
            if self._sandbox is None:
                phase = "snap-start" if self.settings.initialization_type == SNAP_START else "init"
                self.init_fault = self._begin(phase, self.settings.init_timeout_s)
            return self.init_fault

    def invoke(
        self,
        payload: Any = None,
        *,
        trace: str | None = "",
        request_id: str | None = None,
        wait: str = "idle",
    ) -> Response:
        """Invoke once; *wait* is "idle" or "response". A *trace* of None sends no trace header."""
        if wait == "idle":
            return self._invoke(payload, trace, request_id, None)
        answers: queue.Queue[Response] = queue.Queue()
        thread = threading.Thread(
            target=lambda: answers.put(self._invoke(payload, trace, request_id, answers.put)),
            name="invocation",
        )
        self._background.append(thread)
        thread.start()
        return answers.get()

    def invoke_many(self, payloads: Sequence[Any], at_once: int = 16) -> list[Response]:
        """Interleaved invocations on managed instances; the answers in the order of the payloads."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(self.invoke, payloads))

    def shutdown(self, reason: str = "spindown") -> list[Exit]:
        """End the environment; a later invocation starts a new one with a new /tmp."""
        self._join()
        with self._busy:
            if self._sandbox is None:
                return []
            sandbox, self._sandbox = self._sandbox, None
            exits = phases.shutdown(sandbox, reason)
            self._has_lived = False
            self._leave()
            return exits

    def freeze(self) -> None:
        """Stop every process and Lambda's own timers, now."""
        if self._sandbox:
            self._sandbox.freeze_processes()

    def thaw(self) -> None:
        if self._sandbox:
            self._sandbox.thaw()

    def kill_out_of_memory(self) -> None:
        """Kill the runtime as the kernel does when the memory size is reached."""
        if self._sandbox and self._sandbox.runtime.process and self._physics:
            self._physics.kill_on_request(self._sandbox.runtime.process)

    def wait_until_delivered(self, timeout_s: float = 5.0) -> bool:
        """True when the extensions have everything that was emitted (managed instances: timers run on)."""
        sandbox = self._sandbox
        return sandbox is not None and sandbox.telemetry.wait_until_idle(timeout_s)

    # What a test asks.

    @property
    def counts(self) -> dict[str, int]:
        """How many of each: calls, emitted, delivered, dropped, posts, ..."""
        return dict(self.seen.counts)

    @property
    def tmp(self) -> Path:
        """The environment's /tmp."""
        assert self._tmp is not None
        return self._tmp

    def pids(self) -> dict[str, int]:
        """The running processes by name: the runtime's is "runtime"."""
        return {p.who: p.pid for p in self._sandbox.processes()} if self._sandbox else {}

    # Behind it.

    def _begin(self, phase: str, timeout_s: float) -> Fault | None:
        if self._tmp is None:
            self._tmp = Path(tempfile.mkdtemp(prefix="lambda-"))
        if self._physics is None:
            self._physics = Physics(
                cpu_share=self.settings.cpu_share,
                memory_limit=self.settings.memory_limit,
                memory_mb=self.settings.memory_mb,
                signals_only=self.settings.freeze == "signals",
            )
            self.physics = self._physics.in_force
        self._physics.release()
        sandbox = self._sandbox = Sandbox(self.settings, self._tmp, self._physics, self.seen, phase)
        self._has_lived = True
        fault = phases.init(sandbox, time.monotonic() + timeout_s)
        if fault is not None:
            self._reset(sandbox, fault)
        elif not self.settings.is_managed:
            sandbox.freeze()
        return fault

    def _reset(self, sandbox: Sandbox, fault: Fault) -> None:
        """The processes end, /tmp stays."""
        self._sandbox = None
        self.seen.note("resets", (fault.reason, phases.shutdown(sandbox, fault.reason)))

    def _leave(self) -> None:
        if self._physics:
            self._physics.close()
            self._physics = None
        if self._tmp:
            shutil.rmtree(self._tmp, ignore_errors=True)
        self._tmp = None

    def _abandon(self) -> None:
        """A test that failed waits for nobody."""
        if self._sandbox:
            self._sandbox.close()
            self._sandbox = None
        self._leave()

    def _join(self) -> None:
        while self._background:
            self._background.pop().join()

    def _invoke(self, payload: Any, trace: str | None, request_id: str | None, respond: Any) -> Response:
        if self.settings.is_managed:
            return self._invoke_once(payload, trace, request_id, None)
        with self._busy:
            return self._invoke_once(payload, trace, request_id, respond)

    def _invoke_once(self, payload: Any, trace: str | None, request_id: str | None, respond: Any) -> Response:
        timeout_s = self.settings.timeout_s
        invocation = Invocation(
            request_id=request_id or str(uuid.uuid4()),
            payload=orjson.dumps(payload),
            trace=new_trace() if trace == "" else trace,
            span_id=secrets.token_hex(8),
            deadline_ms=epoch_ms(timeout_s),
            started_s=time.monotonic(),
            started_ns=time.time_ns(),
            on_response=lambda: respond(answer(invocation, None, self.settings)) if respond else None,
        )
        sandbox, fault = self._ready_sandbox(timeout_s)
        if fault is None:
            assert sandbox is not None
            fault = phases.invoke(sandbox, invocation, invocation.started_s + timeout_s)
            self._after(sandbox, fault)
        return answer(invocation, fault, self.settings)

    def _ready_sandbox(self, timeout_s: float) -> tuple[Sandbox | None, Fault | None]:
        """The environment, thawed; begun anew within this invocation when the last one broke."""
        with self._busy:
            fault = None
            if self._sandbox is None:
                is_suppressed = self._has_lived and not self.settings.is_managed
                limit_s = timeout_s if is_suppressed else self.settings.init_timeout_s
                fault = self._begin("invoke" if is_suppressed else "init", limit_s)
            sandbox = self._sandbox
            if sandbox is not None:
                sandbox.thaw()
                if sandbox.runtime.restore_asked_s is not None and not sandbox.runtime.may_restore:
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
