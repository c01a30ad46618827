"""What Lambda knows of each extension, of the runtime and of its invocations."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .processes import Process


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an init or an invocation cannot continue."""

    status: str
    error_type: str | None
    message: str
    extension: str | None = None
    """The extension that caused it."""

    @property
    def reason(self) -> str:
        """The shutdownReason of the SHUTDOWN that follows."""
        return "timeout" if self.status == "timeout" else "failure"


@dataclass
class Extension:
    """An extension that Lambda started (external) or that registered from within the runtime (internal)."""

    name: str
    is_external: bool = False
    """Lambda started it. It may register before `process` is set."""
    process: Process | None = None
    id: str | None = None
    state: str = "Started"
    events: tuple[str, ...] = ()
    queue: deque[dict[str, Any]] = field(default_factory=deque)
    has_called_next: bool = False
    """It called `next` once: its init is done."""
    is_waiting: bool = False
    """Its call of `next` is unanswered."""
    turn: int = 0
    error_type: str | None = None

    @property
    def is_registered(self) -> bool:
        return self.id is not None

    @property
    def is_idle(self) -> bool:
        """Whether it waits for an event and none is queued."""
        return self.is_waiting and not self.queue


@dataclass
class Invocation:
    """One request from the caller to the runtime and back. Moments are monotonic seconds."""

    request_id: str
    payload: bytes
    trace: str | None
    span_id: str
    deadline_ms: int
    started_s: float
    started_ns: int
    response: bytes | None = None
    error: Any = None
    error_type: str | None = None
    """Of an error that the function itself reported, e.g. a handler exception."""
    first_byte_s: float = 0.0
    last_byte_s: float = 0.0
    responded_s: float | None = None
    runtime_done_s: float | None = None
    on_response: Callable[[], None] = lambda: None

    @property
    def is_responded(self) -> bool:
        return self.responded_s is not None

    @property
    def tracing(self) -> dict[str, str] | None:
        """The TraceContext of its platform events."""
        if self.trace is None:
            return None
        return {"spanId": self.span_id, "type": "X-Amzn-Trace-Id", "value": self.trace}

    def ns(self, moment_s: float) -> int:
        """Convert a monotonic moment of this invocation to Unix nanoseconds."""
        return self.started_ns + int((moment_s - self.started_s) * 1e9)


@dataclass
class Runtime:
    """The function's runtime, its queued and its running invocations."""

    process: Process | None = None
    waiting: deque[Invocation] = field(default_factory=deque)
    running: dict[str, Invocation] = field(default_factory=dict)
    waiting_workers: int = 0
    """Number of unanswered calls of `next`: at most one, except on managed instances."""
    first_next_s: float | None = None
    restore_requested_s: float | None = None
    may_restore: bool = False
    most_waiting_workers: int = 0

    def begin(self, invocation: Invocation) -> None:
        self.running[invocation.request_id] = invocation
        self.waiting.append(invocation)

    def forget(self, invocation: Invocation) -> None:
        self.running.pop(invocation.request_id, None)


def epoch_ms(seconds_from_now: float) -> int:
    return int((time.time() + seconds_from_now) * 1000)
