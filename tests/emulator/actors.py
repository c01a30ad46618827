"""What Lambda knows of each extension, of the runtime and of the invocations in its hands."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .processes import Process


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an init or an invocation cannot go on; the first one counts."""

    status: str
    error_type: str | None
    message: str
    culprit: str | None = None

    @property
    def reason(self) -> str:
        """The shutdownReason that follows from it."""
        return "timeout" if self.status == "timeout" else "failure"


@dataclass
class Extension:
    """An extension that was started (external) or that registered from within the runtime (internal)."""

    name: str
    is_external: bool = False
    """Lambda started it. It may register before its process is known here."""
    process: Process | None = None
    id: str | None = None
    state: str = "Started"
    events: tuple[str, ...] = ()
    queue: deque[dict[str, Any]] = field(default_factory=deque)
    has_asked: bool = False
    """It asked for its first event: its init is over."""
    is_asking: bool = False
    """It waits in `next` right now."""
    turn: int = 0
    error_type: str | None = None

    @property
    def is_registered(self) -> bool:
        return self.id is not None

    @property
    def is_idle(self) -> bool:
        """Nothing is left for it to do: it asked for an event and there is none."""
        return self.is_asking and not self.queue


@dataclass
class Invocation:
    """One request, from the caller to the runtime and back. Moments are monotonic seconds."""

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
    """Of the function's own error (a handler exception), not of Lambda."""
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
        """A monotonic moment of this invocation as wall time."""
        return self.started_ns + int((moment_s - self.started_s) * 1e9)


@dataclass
class Runtime:
    """The function's runtime: the invocations it may take and the ones it has in work."""

    process: Process | None = None
    waiting: deque[Invocation] = field(default_factory=deque)
    in_work: dict[str, Invocation] = field(default_factory=dict)
    askers: int = 0
    """How many workers wait in `next` right now: at most one, except on managed instances."""
    first_next_s: float | None = None
    restore_asked_s: float | None = None
    may_restore: bool = False
    seen_workers: int = 0

    def begin(self, invocation: Invocation) -> None:
        self.in_work[invocation.request_id] = invocation
        self.waiting.append(invocation)

    def forget(self, invocation: Invocation) -> None:
        self.in_work.pop(invocation.request_id, None)


def epoch_ms(seconds_from_now: float) -> int:
    return int((time.time() + seconds_from_now) * 1000)
