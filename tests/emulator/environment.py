"""`Lambda`: one function with its extensions, as a test drives it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from . import phases
from .agents import Fault, Invocation, epoch_ms
from .observations import Call, Dropped, Event, Exit, Observations, Post
from .physics import Physics
from .sandbox import Sandbox
from .settings import SNAP_START, Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller of an invocation got, and how long it took."""

    request_id: str
    status: str
    """Lambda's word: success (a handler's exception included), error, timeout, failure."""
    payload: Any
    error_type: str | None
    response_s: float | None
    """From the call to the runtime's response; None when there was none."""
    total_s: float
    """From the call until runtime and extensions were idle."""

    @property
    def is_success(self) -> bool:
        """The function returned, and nothing broke around it."""
        return self.status == "success" and self.error_type is None


class Lambda:
    """A context manager: init on entering, shutdown on leaving. Invocations one at a time,
    but on managed instances. Settings are the fields of `Settings`."""

    def __init__(self, *, opt: Path | str, task: Path | str, cut: Any = None, **settings: Any) -> None:
        self.settings = Settings(
            opt=Path(opt), task=Path(task), cut="by-size" if cut is True else cut or None, **settings
        )
        self.seen = Observations(remember=self.settings.remember)
        self.init_fault: Fault | None = None
        self._sandbox: Sandbox | None = None
        self._tmp: Path | None = None
        self._physics: Physics | None = None
        self._has_lived = False
        self._busy = threading.Lock()
        self._background: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._join()
        if kind is None:
            self.shutdown()
        elif self._sandbox:
            self._sandbox.close()
            self._sandbox = None
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
    ) -> Answer:
        """Invoke once; *wait* is "idle" or "response". A *trace* of None sends no trace header."""
        if wait == "idle":
            return self._invoke(payload, trace, request_id, None)
        responded: list[Answer] = []
        event = threading.Event()

        def run() -> None:
            answer = self._invoke(
                payload, trace, request_id, lambda early: (responded.append(early), event.set())
            )
            responded.append(answer)
            event.set()

        thread = threading.Thread(target=run, name="invocation")
        self._background.append(thread)
        thread.start()
        event.wait()
        return responded[0]

    def invoke_many(self, payloads: Sequence[Any], at_once: int = 16) -> list[Answer]:
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
    def calls(self) -> list[Call]:
        return self.seen.calls

    @property
    def emitted(self) -> list[Event]:
        return self.seen.emitted

    @property
    def delivered(self) -> list[Event]:
        return self.seen.delivered

    @property
    def dropped(self) -> list[Dropped]:
        return self.seen.dropped

    @property
    def posts(self) -> list[Post]:
        return self.seen.posts

    @property
    def resets(self) -> list[tuple[str, list[Exit]]]:
        return self.seen.resets

    @property
    def extension_output(self) -> list[str]:
        return self.seen.extension_output

    @property
    def function_output(self) -> list[str]:
        return self.seen.function_output

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.seen.counts)

    @property
    def physics(self) -> dict[str, str]:
        """What is really in force here of freezing, CPU share and memory limit."""
        return dict(self._physics.in_force) if self._physics else {}

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
            )
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
        if self._tmp:
            shutil.rmtree(self._tmp, ignore_errors=True)
        self._tmp = None

    def _join(self) -> None:
        while self._background:
            self._background.pop().join()

    def _invoke(self, payload: Any, trace: str | None, request_id: str | None, respond: Any) -> Answer:
        if self.settings.is_managed:
            return self._invoke_once(payload, trace, request_id, None)
        with self._busy:
            return self._invoke_once(payload, trace, request_id, respond)

    def _invoke_once(self, payload: Any, trace: str | None, request_id: str | None, respond: Any) -> Answer:
        timeout_s = self.settings.timeout_s
        invocation = Invocation(
            request_id=request_id or str(uuid.uuid4()),
            payload=orjson.dumps(payload),
            trace=_new_trace() if trace == "" else trace,
            span_id=secrets.token_hex(8),
            deadline_ms=epoch_ms(timeout_s),
            started_s=time.monotonic(),
            started_ns=time.time_ns(),
            on_response=lambda: respond(_answer(invocation, None, self.settings)) if respond else None,
        )
        sandbox, fault = self._ready_sandbox(timeout_s)
        if fault is None:
            assert sandbox is not None
            fault = phases.invoke(sandbox, invocation, invocation.started_s + timeout_s)
            self._after(sandbox, fault)
        return _answer(invocation, fault, self.settings)

    def _ready_sandbox(self, timeout_s: float) -> tuple[Sandbox | None, Fault | None]:
        """The environment, thawed; begun anew within this invocation when the last one broke."""
        if self._sandbox is None:
            phase = "invoke" if self._has_lived else "init"
            limit_s = timeout_s if self._has_lived else self.settings.init_timeout_s
            fault = self._begin(phase, limit_s)
        else:
            fault = None
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.thaw()
            if sandbox.runtime.restore_asked_s is not None and not sandbox.runtime.may_restore:
                fault = phases.restore(sandbox)
                if fault is not None:
                    self._reset(sandbox, fault)
        return sandbox, fault

    def _after(self, sandbox: Sandbox, fault: Fault | None) -> None:
        if self.settings.is_managed:
            if fault is not None and fault.status != "timeout" and self._sandbox is sandbox:
                with self._busy:
                    if self._sandbox is sandbox:
                        self._reset(sandbox, fault)
        elif fault is not None:
            self._reset(sandbox, fault)
        else:
            sandbox.freeze()


def _answer(invocation: Invocation, fault: Fault | None, settings: Settings) -> Answer:
    payload: Any = invocation.error
    if invocation.error is None and invocation.response is not None:
        try:
            payload = orjson.loads(invocation.response)
        except orjson.JSONDecodeError:
            payload = invocation.response
    error_type = invocation.error_type
    if fault is not None:
        failure = phases.describe(fault, settings, invocation.request_id)
        error_type = failure["errorType"]
        payload = failure if payload is None else payload
    responded_s = invocation.responded_s
    return Answer(
        request_id=invocation.request_id,
        status=fault.status if fault else "success",
        payload=payload,
        error_type=error_type,
        response_s=None if responded_s is None else responded_s - invocation.started_s,
        total_s=time.monotonic() - invocation.started_s,
    )


def _new_trace() -> str:
    """The trace header that Lambda makes when nobody sent one and tracing is off."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
