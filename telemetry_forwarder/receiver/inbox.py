"""The queue between the threads: what Lambda posted and what it told the main thread, bounded in bytes.

The only object that the threads share, so nothing else needs a lock.
"""

import threading
from collections import deque

from telemetry_forwarder.core.sync import Bell
from telemetry_forwarder.receiver.messages import Body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.receiver.messages import (
        InvokeEvent,
        Item,
        SendFinished,
        ShutdownEvent,
        SubscriptionResult,
    )

# What a body costs beside its bytes. Without it, posts of nothing could come for ever.
_OVERHEAD_BYTES = 256


class Inbox:
    """First in, first out. What Lambda posts counts against the bound; its events always fit."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()
        self._has_something = Bell()
        self._has_room_again = Bell()
        self._is_closed = False
        self._refusals = 0

    def put_body(self, body: Body) -> bool:
        """Take *body* if there is room. Does not block.

        An empty inbox takes any body, so that one larger than the bound is not refused for ever.
        """
        with self._lock:
            if self._is_closed or not self._has_room(body):
                self._refusals += 1
                return False
            self._append(body)
            return True

    def put_body_blocking(self, body: Body) -> None:
        """Block until there is room for *body*, then take it. Once closed, neither."""
        while True:
            with self._lock:
                if self._is_closed:
                    break
                if self._has_room(body):
                    self._append(body)
                    break
            self._has_room_again.wait()
        # It has woken one: there may be others who wait, and room for them too.
        self._has_room_again.ring()

    def note_refusal(self) -> None:
        """A body was refused before it was whole: to hold it was too much already."""
        with self._lock:
            self._refusals += 1

    def take_refusals(self) -> int:
        """How many bodies have found no room since this was last asked; Lambda sends them again."""
        with self._lock:
            refusals, self._refusals = self._refusals, 0
            return refusals

    def close(self) -> None:
        """Take no more bodies: nobody is left to do anything with them. Whoever waits for room goes on."""
        with self._lock:
            self._is_closed = True
        self._has_room_again.ring()

    def put_event(self, event: "InvokeEvent | ShutdownEvent | SubscriptionResult | SendFinished") -> None:
        with self._lock:
            self._add(event)

    def take(self, timeout_s: float | None) -> "list[Item]":
        """Everything that is there, in order. Blocks until there is something, at most *timeout_s*. For one thread."""
        # It may have rung for what was taken without waiting.
        while not self._items and self._has_something.wait(timeout_s):
            pass
        with self._lock:
            taken = list(self._items)
            self._items.clear()
            self._held_bytes = 0
        self._has_room_again.ring()
        return taken

    def _has_room(self, body: Body) -> bool:
        return not self._held_bytes or self._held_bytes + _size(body) <= self._max_bytes

    def _append(self, body: Body) -> None:
        self._held_bytes += _size(body)
        self._add(body)

    def _add(self, item: "Item") -> None:
        self._items.append(item)
        # Before the lock is given up: later, it might ring for what has been taken.
        self._has_something.ring()


def _size(body: Body) -> int:
    return len(body.content) + _OVERHEAD_BYTES
