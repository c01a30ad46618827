"""Lets a thread wait for another one, for a time that the wall clock does not change.

A lock with a timeout waits by the wall clock with a glibc before 2.30 and in the layer's interpreter, so setting that
back would prolong the wait. Here, `poll` waits for a descriptor instead.
"""

import posix
import select
from math import inf

# The longest wait, 24 days: `poll` takes the milliseconds as an int.
_MAX_WAIT_MS = 2_147_483_647
_SLICE_MS = 10


class Latch:
    """A `threading.Event` that is never cleared. Any number of threads may wait."""

    __slots__ = ("_descriptor", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        # First, for `__del__`: what follows may raise, and a signal may arrive.
        self._descriptor = -1
        try:  # noqa: SIM105  # `contextlib` is not imported yet
            self._descriptor = posix.eventfd(0)
        except OSError:
            # No descriptor is free. An invocation must not fail for that: `wait` looks at the state repeatedly.
            pass

    def __del__(self) -> None:
        if self._descriptor >= 0:
            posix.close(self._descriptor)

    def set(self) -> None:
        """Release all threads, now and in the future. May be called repeatedly."""
        if not self._is_set:
            self._is_set = True
            if self._descriptor >= 0:
                posix.eventfd_write(self._descriptor, 1)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the latch is set, at most *timeout_s*; return whether it is set."""
        if self._descriptor < 0:
            left_ms = inf if timeout_s is None else _milliseconds(timeout_s)
            while not self._is_set and left_ms > 0:
                select.poll().poll(_SLICE_MS)
                left_ms -= _SLICE_MS
        elif not self._is_set:
            _is_readable(self._descriptor, timeout_s)
        return self._is_set


class WakeUp:
    """Wakes one of the threads that wait. Calls of `notify` before the thread waits count as one.

    Creating it raises OSError if no descriptor is free.
    """

    __slots__ = ("_descriptor", "_is_notified")

    def __init__(self) -> None:
        self._descriptor = -1
        self._descriptor = posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)
        self._is_notified = False
        """Whether `notify` was called since the last wait: another call needs no system call then."""

    def __del__(self) -> None:
        if self._descriptor >= 0:
            posix.close(self._descriptor)

    def notify(self) -> None:
        """Wake the thread. May be called from any thread; does not block."""
        if not self._is_notified:
            self._is_notified = True
            posix.eventfd_write(self._descriptor, 1)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until `notify` is or was called since the last wait, at most *timeout_s*; return whether it was."""
        while _is_readable(self._descriptor, timeout_s):
            try:
                posix.eventfd_read(self._descriptor)
            except BlockingIOError:
                continue  # Another thread waits, too, and was faster.
            # Only now: a call of `notify` since then is part of this wait, because the caller has yet to look.
            self._is_notified = False
            return True
        return False


def _is_readable(descriptor: int, timeout_s: float | None) -> bool:
    # A new object for each wait, because threads cannot share one.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else _milliseconds(timeout_s)))


def _milliseconds(timeout_s: float) -> float:
    # Not `max`: a timeout of NaN does not block.
    return min(timeout_s * 1_000, _MAX_WAIT_MS) if timeout_s > 0 else 0
