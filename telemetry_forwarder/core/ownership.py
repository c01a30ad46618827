"""Passes the state that two threads share from one to the other, at moments when it is consistent.

The worker owns the state, except while it waits, or computes without changing it. The main thread can take
it over in such a moment, for good. A worker that comes back later changes nothing any more.
"""

import threading
from collections.abc import Callable

from telemetry_forwarder.core.sync import Latch


class OwnershipLost(BaseException):  # no error: the other thread continues
    """Ends the worker's step. Not an `Exception`: a handler for defects must not catch it."""


class Ownership:
    """Who may change the shared state: the worker between `enter` and `leave`, or the main thread after `take`.

    A thread that has taken over may call the other methods as well: the state stays its own.
    """

    __slots__ = ("_has_left", "_is_held", "_lock", "_taker", "is_requested")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_held = False
        self._taker: int | None = None
        self._has_left = Latch()
        """Set when the worker has left for good."""
        self.is_requested = False
        """Whether the worker should end after the step that it is in."""

    def enter(self) -> None:
        """Own the state from now on. Raises `OwnershipLost` if another thread has taken it over."""
        with self._lock:
            if self._has_left.is_set() and threading.get_ident() != self._taker:
                raise OwnershipLost
            self._is_held = True

    def leave(self) -> None:
        """Let the other thread take over from now on. The state has to be consistent."""
        with self._lock:
            self._is_held = False
            if self.is_requested:
                self._has_left.set()

    def release(self, work: Callable[[], object] = lambda: None) -> None:
        """Let the other thread take over during *work*, or at this moment; raise `OwnershipLost` after it if it has."""
        self.leave()
        try:
            work()
        finally:
            self.enter()

    def take(self, timeout_s: float) -> bool:
        """Take over for good, as soon as the worker leaves; return False if it has not after *timeout_s*.

        Even then it loses the ownership when it leaves.
        """
        with self._lock:
            self.is_requested = True
            self._taker = threading.get_ident()
            if not self._is_held:
                self._has_left.set()
        return self._has_left.wait(timeout_s)
