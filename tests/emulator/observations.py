"""Everything a test can ask about afterwards: calls, events, posts, lines, exits."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Lambda's API, in the order they were asked; unanswered while `status` is None."""

    who: str
    method: str
    path: str
    asked_s: float
    status: int | None = None
    answer: str | None = None
    """The event a `next` got (INVOKE, SHUTDOWN, a request id for the runtime), or the errorType."""
    answered_s: float | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """One attempt to hand a batch to an extension."""

    to: str
    status: int | None
    """The HTTP status; 0 for bytes given to a TCP socket; None when there was no answer."""
    events: int
    bytes: int
    at_s: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """An event that never reached its subscriber, and why."""

    to: str
    event: Event
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How one process of an extension ended after SHUTDOWN."""

    name: str
    code: int | None
    killed: bool
    seconds: float


@dataclass
class Observations:
    """The record of one `Lambda`. Lists only ever grow; `remember=False` keeps the counts alone."""

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

    def asked(self, call: Call) -> int:
        """Note a request; the number is for `answered`."""
        with self._lock:
            self.counts["calls"] += 1
            if self.remember:
                self.calls.append(call)
            return len(self.calls) - 1

    def answered(self, number: int, **answer: Any) -> None:
        if self.remember:
            with self._lock:
                self.calls[number] = replace(self.calls[number], **answer)

    def note(self, kind: str, *items: Any) -> None:
        """Append *items* to the list called *kind* and count them."""
        with self._lock:
            self.counts[kind] += len(items)
            # What extensions print is little.
            if self.remember or kind == "extension_output":
                getattr(self, kind).extend(items)
