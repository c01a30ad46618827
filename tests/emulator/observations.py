"""Everything a test can inspect afterwards: calls, events, posts, lines, exits."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Lambda's APIs; `status` is None until the response."""

    caller: str
    method: str
    path: str
    started_s: float
    status: int | None = None
    result: str | None = None
    """The event that `next` returned (INVOKE, SHUTDOWN; for the runtime a request id), or the errorType."""
    completed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """One attempt to send a batch of telemetry to an extension."""

    subscriber: str
    status: int | None
    """The HTTP status; 0 for bytes written to a TCP socket; None without a response."""
    events: int
    bytes: int
    at_s: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """An event that never reached its subscriber, and the reason."""

    subscriber: str
    event: Event
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process of an extension ended after SHUTDOWN."""

    name: str
    code: int | None
    killed: bool
    seconds: float
    run_delay_s: float = 0.0
    """How long threads waited for a CPU meanwhile: what a busy machine adds to `seconds`."""


@dataclass
class Observations:
    """The record of one `Lambda`. Lists only ever grow; `remember=False` keeps few of them."""

    remember: bool = True
    calls: list[Call] = field(default_factory=list)
    emitted: list[Event] = field(default_factory=list)
    delivered: list[Event] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    extension_output: list[str] = field(default_factory=list)
    function_output: list[str] = field(default_factory=list)
    resets: list[tuple[str, list[Exit]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request_started(self, call: Call) -> int:
        """Append *call*; return its number, which `request_completed` needs."""
        with self._lock:
            self.counts["calls"] += 1
            if self.remember:
                self.calls.append(call)
            return len(self.calls) - 1

    def request_completed(self, number: int, **changes: Any) -> None:
        """Set fields of the call with that number."""
        if self.remember:
            with self._lock:
                self.calls[number] = replace(self.calls[number], **changes)

    def add(self, kind: str, *items: Any) -> None:
        """Append *items* to the list called *kind* and count them."""
        with self._lock:
            self.counts[kind] += len(items)
            # These are few, and every test needs them.
            if self.remember or kind in ("extension_output", "resets"):
                getattr(self, kind).extend(items)
