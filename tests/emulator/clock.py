"""Lambda's own timers, which stop while the environment is frozen, and its way to write a time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class SandboxClock:
    """Monotonic seconds that do not pass while stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lost_s = 0.0
        self._stopped_at: float | None = None

    def now(self) -> float:
        with self._lock:
            return (time.monotonic() if self._stopped_at is None else self._stopped_at) - self._lost_s

    @property
    def is_stopped(self) -> bool:
        return self._stopped_at is not None

    def stop(self) -> None:
        with self._lock:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()

    def go_on(self) -> None:
        with self._lock:
            if self._stopped_at is not None:
                self._lost_s += time.monotonic() - self._stopped_at
                self._stopped_at = None


def iso(unix_ns: int) -> str:
    """The time of an event as Lambda writes it: UTC, milliseconds, Z."""
    moment = datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ns // 1_000_000 % 1000:03d}Z"


def ms(seconds: float) -> float:
    """A duration as Lambda's events give it."""
    return round(max(seconds, 0.0) * 1000, 3)
