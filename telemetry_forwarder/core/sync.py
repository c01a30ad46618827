"""Lets a thread wait for another one, for a time that the wall clock does not change.

A lock with a timeout waits by the wall clock with a glibc before 2.30 and in the layer's interpreter, so setting that
back would prolong the wait. Here, `poll` waits for a descriptor instead.
"""

import posix
import select
from math import inf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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
        self._descriptor = _new_descriptor(posix.EFD_CLOEXEC)

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

    def wait(self, timeout_s: float | None = None, *, or_readable: int = -1) -> bool:
        """Block until the latch is set, at most *timeout_s*; return whether it is set.

        Return early if *or_readable* is readable; without a descriptor of our own, only a handler of signals runs then.
        """
        if self._descriptor < 0:
            return _is_true_in_time(self.is_set, timeout_s)
        if not self._is_set:
            _is_readable(self._descriptor, timeout_s, or_readable)
        return self._is_set


class WakeUp:
    """Wakes one of the threads that wait. Calls of `notify` before the thread waits count as one."""

    __slots__ = ("_descriptor", "_is_notified")

    def __init__(self) -> None:
        self._is_notified = False
        """Whether `notify` was called since the last wait: another call needs no system call then."""
        self._descriptor = -1
        self._descriptor = _new_descriptor(posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            posix.close(self._descriptor)

    def notify(self) -> None:
        """Wake the thread. May be called from any thread; does not block."""
        if not self._is_notified:
            self._is_notified = True
            if self._descriptor >= 0:
                posix.eventfd_write(self._descriptor, 1)

    def wait(self, timeout_s: float | None = None, *, or_readable: int = -1) -> bool:
        """Block until `notify` is or was called since the last wait, at most *timeout_s*; return whether it was.

        Return early if *or_readable* is readable; without a descriptor of our own, only a handler of signals runs then.
        """
        if self._descriptor < 0:
            is_notified = _is_true_in_time(lambda: self._is_notified, timeout_s)
            self._is_notified &= not is_notified
            return is_notified
        while _is_readable(self._descriptor, timeout_s, or_readable):
            try:
                posix.eventfd_read(self._descriptor)
            except BlockingIOError:
                continue  # Another thread waits, too, and was faster.
            # Only now: a call of `notify` since then is part of this wait, because the caller has yet to look.
            self._is_notified = False
            return True
        return False


def _new_descriptor(flags: int) -> int:
    """Return a descriptor to wait for, or -1 if none is free: no invocation may fail for that."""
    try:
        return posix.eventfd(0, flags)
    except OSError:
        return -1


def _is_true_in_time(condition: "Callable[[], bool]", timeout_s: float | None) -> bool:
    """Look at *condition* repeatedly, for *timeout_s* at most; return whether it has become true."""
    left_ms = inf if timeout_s is None else _milliseconds(timeout_s)
    while not condition() and left_ms > 0:
        select.poll().poll(_SLICE_MS)
        left_ms -= _SLICE_MS
    return condition()


def _is_readable(descriptor: int, timeout_s: float | None, other: int) -> bool:
    """Block until *descriptor* or *other*, if that is not negative, is readable; return whether the first one is."""
    # A new object for each wait, because threads cannot share one.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if other >= 0:
        poll.register(other, select.POLLIN)
    return (descriptor, select.POLLIN) in poll.poll(None if timeout_s is None else _milliseconds(timeout_s))


def _milliseconds(timeout_s: float) -> float:
    # Not `max`: a timeout of NaN does not block.
    return min(timeout_s * 1_000, _MAX_WAIT_MS) if timeout_s > 0 else 0
