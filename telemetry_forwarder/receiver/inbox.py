"""Queues items for the worker's thread: request bodies, events and results of other threads. Bounded in bytes.

Every method may be called from any thread, except `wait`, which belongs to the worker.
"""

import threading
from collections import deque

from telemetry_forwarder.core.sync import WakeUp
from telemetry_forwarder.receiver.end_watch import EndWatch
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, Item, WorkerEvent

# The overhead of a body in memory. Without it, the number of empty bodies would have no bound.
_OVERHEAD_BYTES = 256
# How long a refusal takes at SHUTDOWN: a sender that repeats at once would take the CPU that storing needs.
_REFUSAL_S = 0.02


class Inbox:
    """First in, first out. Bodies count against *max_bytes*; events always fit."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()
        """Guards the items, their size, the refusals and the closed state: several threads put, one takes."""
        self._item_arrived = WakeUp()
        self._room_freed = WakeUp()
        self._is_refusing = False
        self._is_closed = False
        self._refusals = 0
        self._ends = EndWatch()
        self.foreign_posts = 0
        """Posts that were refused because Lambda did not send them. Written by the listener alone."""

    def put_body(self, body: Body) -> bool:
        """Add *body* if there is room, and return whether there was. Does not block, except for 20 ms after `refuse`.

        An empty inbox accepts any body, so that one larger than the bound is not refused forever.
        """
        self._ends.search(body.content)
        with self._lock:
            if self._add_if_room(body):
                return True
            self._refusals += 1
        if self._is_refusing and not self._is_closed:
            self._room_freed.wait(_REFUSAL_S)
        return False

    def put_body_blocking(self, body: Body) -> None:
        """Block until there is room for *body*, then add it. A closed inbox discards it at once.

        After `refuse`, it is counted as refused, and waits until the inbox is closed: its sender waits, too.
        """
        self._ends.search(body.content)
        is_refused = False
        while True:
            with self._lock:
                if self._is_closed or self._add_if_room(body):
                    break
                if self._is_refusing and not is_refused:
                    is_refused = True
                    self._refusals += 1
            self._room_freed.wait()
        # Only one thread was woken: others may be waiting, and there may be room for them, too.
        self._room_freed.notify()

    def note_refusal(self) -> None:
        """Count a body that was refused before it was complete."""
        with self._lock:
            self._refusals += 1

    def take_refusals(self) -> int:
        """Return the number of refused bodies since the last call. Lambda sends them again."""
        with self._lock:
            refusals, self._refusals = self._refusals, 0
            return refusals

    def refuse(self) -> None:
        """Refuse bodies from now on: what is held shall be stored in time. Over TCP they wait."""
        with self._lock:
            self._is_refusing = True
        self._room_freed.notify()

    def close(self) -> None:
        """Refuse bodies from now on, and release the threads that wait for room."""
        with self._lock:
            self._is_refusing = self._is_closed = True
        self._room_freed.notify()

    def put_event(self, event: WorkerEvent) -> None:
        """Add *event*. For INVOKE, `has_ended` is set as soon as a body with the end of the invocation has arrived."""
        if isinstance(event, InvokeEvent):
            self._ends.expect(event)
        with self._lock:
            self._add(event)

    def wait(self, timeout_s: float | None) -> None:
        """Block until there is an item, at most *timeout_s*. For one thread only."""
        # `notify` may have been called for an item that was taken without waiting.
        while not self._items and self._item_arrived.wait(timeout_s):
            pass

    def take(self) -> list[Item]:
        """Take all items in order. Does not block."""
        with self._lock:
            taken = list(self._items)
            self._items.clear()
            self._held_bytes = 0
        self._room_freed.notify()
        return taken

    def _add_if_room(self, body: Body) -> bool:
        size_bytes = len(body.content) + _OVERHEAD_BYTES
        if self._is_refusing or (self._held_bytes and self._held_bytes + size_bytes > self._max_bytes):
            return False
        self._held_bytes += size_bytes
        self._add(body)
        return True

    def _add(self, item: Item) -> None:
        self._items.append(item)
        # While the lock is held: after that, the item may be taken already.
        self._item_arrived.notify()
