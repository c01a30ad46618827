"""What a thread waits for, made of one lock each.

`threading.Event` and `Condition` are Python, and make another lock for each wait: a warm invocation has a dozen.
"""

import threading


class Latch:
    """A `threading.Event` that is never cleared. For any number of threads."""

    __slots__ = ("_is_set", "_lock")

    def __init__(self) -> None:
        self._is_set = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let everybody go on, from now on. Once or more often."""
        self._is_set = True
        _release(self._lock)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until it is set, at most *timeout_s*; say whether it is."""
        if self._is_set:
            return True
        if not self._lock.acquire(timeout=_limit(timeout_s)):
            return self._is_set
        # For whoever else waits.
        _release(self._lock)
        return True


class Bell:
    """Wakes one thread, which looks around then: rung twice before it has, it wakes it once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """From any thread. Does not block."""
        _release(self._lock)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until it rings, or has rung since the last time, at most *timeout_s*; say whether it did."""
        return self._lock.acquire(timeout=_limit(timeout_s))


def _limit(timeout_s: float | None) -> float:
    return -1 if timeout_s is None else min(max(0.0, timeout_s), threading.TIMEOUT_MAX)


def _release(lock: threading.Lock) -> None:
    # Somebody may be quicker, and it is free already: that is all that is wanted.
    try:  # noqa: SIM105  # called for each post, and `suppress` takes longer than all the rest
        lock.release()
    except RuntimeError:
        pass
