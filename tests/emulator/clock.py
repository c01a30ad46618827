"""The clock of Lambda's own timers, which stops while the environment is frozen, and time formats."""

from __future__ import annotations

import functools
import threading
import time
from datetime import UTC, datetime


class SandboxClock:
    """Monotonic seconds that stand still while stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped_for_s = 0.0
        self._stopped_at: float | None = None

    def now(self) -> float:
        with self._lock:
            return (time.monotonic() if self._stopped_at is None else self._stopped_at) - self._stopped_for_s

    @property
    def is_stopped(self) -> bool:
        return self._stopped_at is not None

    def stop(self) -> None:
        with self._lock:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()

    def resume(self) -> None:
        with self._lock:
            if self._stopped_at is not None:
                self._stopped_for_s += time.monotonic() - self._stopped_at
                self._stopped_at = None


def iso(unix_ns: int) -> str:
    """Format a time as Lambda's events do: UTC, milliseconds, Z."""
    return f"{_iso_second(unix_ns // 1_000_000_000)}.{unix_ns // 1_000_000 % 1000:03d}Z"


@functools.lru_cache(maxsize=16)
def _iso_second(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%S}"


def ms(seconds: float) -> float:
    """Convert a duration to the milliseconds of Lambda's events."""
    return round(max(seconds, 0.0) * 1000, 3)
