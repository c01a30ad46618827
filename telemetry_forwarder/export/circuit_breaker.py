"""Decides whether and when an endpoint that failed is tried again. Never blocks."""

import threading
from collections.abc import Callable

from telemetry_forwarder.clock import Clock

_MAX_DOUBLINGS = 30


def jittered(ceiling_s: float, random: Callable[[], float]) -> float:
    """Return between half of *ceiling_s* and all of it, so that many clients do not return at once."""
    return ceiling_s * (0.5 + random() / 2)


class CircuitBreaker:
    """Closed while requests succeed; open after failures, for a hold time that doubles. For any thread.

    After the hold time it stays open, but a probe may be sent; its result closes it or starts the next hold.
    """

    def __init__(
        self,
        clock: Clock,
        random: Callable[[], float],
        *,
        failures_to_open: int = 1,
        first_hold_s: float = 1.0,
        longest_hold_s: float = 60.0,
    ) -> None:
        self._clock = clock
        self._random = random
        self._failures_to_open = failures_to_open
        self._first_hold_s = first_hold_s
        self._longest_hold_s = longest_hold_s
        # Several senders report the results of one server at the same time.
        self._lock = threading.Lock()
        self._failures = 0
        self._holds = 0
        self._held_since_s = 0.0
        self._held_since_unix_ns = 0
        self._hold_s = 0.0

    @property
    def is_open(self) -> bool:
        return self._holds > 0

    def hold_s(self) -> float:
        """Return how long from now nothing should be sent; 0 if a request may be sent."""
        if not self._holds:
            return 0.0
        # The monotonic clock may stand still while the sandbox is frozen, so the clock that went further counts.
        elapsed_s = max(
            self._clock.monotonic_s() - self._held_since_s,
            (self._clock.unix_ns() - self._held_since_unix_ns) / 1_000_000_000,
        )
        return max(0.0, self._hold_s - elapsed_s)

    def failed(self, at_least_s: float = 0.0) -> bool:
        """Note a failure, and hold for *at_least_s*. Return whether it has opened the circuit breaker."""
        with self._lock:
            self._failures += 1
            if (hold_s := self.hold_s()) > 0.0:
                # A concurrent request has failed before: the same failure does not double the hold time.
                self._hold(max(hold_s, at_least_s))
                return False
            if self._failures < self._failures_to_open and not at_least_s:
                return False
            ceiling_s = min(self._first_hold_s * 2.0 ** min(self._holds, _MAX_DOUBLINGS), self._longest_hold_s)
            self._holds += 1
            self._hold(max(jittered(ceiling_s, self._random), at_least_s))
            return self._holds == 1

    def succeeded(self) -> bool:
        """Note a success. Return whether it has closed the circuit breaker."""
        if not self._failures:
            return False
        with self._lock:
            was_open = self.is_open
            self._failures = self._holds = 0
            return was_open

    def _hold(self, seconds: float) -> None:
        self._held_since_s = self._clock.monotonic_s()
        self._held_since_unix_ns = self._clock.unix_ns()
        self._hold_s = seconds
