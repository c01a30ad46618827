"""Lets a thread wait for another one, with a single lock each.

`threading.Event` and `Condition` are written in Python and create another lock for each wait; a warm invocation
has a dozen waits.
"""

import threading


class Latch:
    """A `threading.Event` that is never cleared. Any number of threads may wait."""

    __slots__ = ("_is_set", "_lock")

    def __init__(self) -> None:
        self._is_set = False
        self._lock = threading.Lock()
        """Held until the latch is set; each thread that acquires it releases it for the next one."""
        self._lock.acquire()

    def set(self) -> None:
        """Release all threads, now and in the future. May be called repeatedly."""
        self._is_set = True
        _release(self._lock)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the latch is set, at most *timeout_s*; return whether it is set."""
        if self._lock.acquire(timeout=_lock_timeout(timeout_s)):
            # For the next thread that waits.
            _release(self._lock)
        return self._is_set


class WakeUp:
    """Wakes one thread. Calls of `notify` before the thread waits count as one."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Unlocked by `notify`, locked again by `wait`."""
        self._lock.acquire()

    def notify(self) -> None:
        """Wake the thread. May be called from any thread; does not block."""
        _release(self._lock)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until `notify` is or was called since the last wait, at most *timeout_s*; return whether it was."""
        return self._lock.acquire(timeout=_lock_timeout(timeout_s))


def _lock_timeout(timeout_s: float | None) -> float:
    return -1 if timeout_s is None else min(max(0.0, timeout_s), threading.TIMEOUT_MAX)


def _release(lock: threading.Lock) -> None:
    # Another thread may have released it already.
    try:  # noqa: SIM105  # called for each post; `suppress` would take longer than everything else here
        lock.release()
    except RuntimeError:
        pass
