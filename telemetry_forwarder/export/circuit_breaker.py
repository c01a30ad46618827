"""Decides whether and when an endpoint that failed is tried again; logs each change. Never blocks."""

import threading
from collections.abc import Callable

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.flushing.invocation_rate import Moment

_FIRST_HOLD_S = 1.0
_LONGEST_HOLD_S = 60.0
_MAX_DOUBLINGS = 30


def backoff_s(first_s: float, *, longest_s: float, doublings: int, random: Callable[[], float]) -> float:
    """Return *first_s* doubled that often, less up to half of it, so that many clients do not return at once."""
    ceiling_s = min(first_s * 2.0 ** min(doublings, _MAX_DOUBLINGS), longest_s)
    return ceiling_s * (0.5 + random() / 2)


class CircuitBreaker:
    """Closed while requests succeed; open after a failure, for a hold time that doubles. For any thread.

    After the hold time it stays open, but a probe may be sent; its result closes it or starts the next hold.
    """

    def __init__(self, name: str, *, clock: Clock, log: Diagnostics, random: Callable[[], float]) -> None:
        """*name* says in the log what is failing."""
        self._name = name
        self._clock = clock
        self._log = log
        self._random = random
        # Several senders report the results of one server at the same time.
        self._lock = threading.Lock()
        self._holds = 0
        """Hold times since the last success."""
        self._hold_s = 0.0
        self._held_since = Moment(clock)

    @property
    def is_open(self) -> bool:
        return self._holds > 0

    def hold_s(self) -> float:
        """Return how long from now nothing should be sent; 0 if a request may be sent."""
        if not self._holds:
            return 0.0
        return max(0.0, self._hold_s - Moment(self._clock).since_s(self._held_since))

    def failed(self, reason: str, at_least_s: float = 0.0) -> None:
        """Note a failure, and hold for *at_least_s*."""
        with self._lock:
            was_open = self.is_open
            hold_s = self.hold_s()
            # Otherwise a concurrent request has failed before: the same failure does not double the hold time.
            if hold_s == 0.0:
                hold_s = backoff_s(_FIRST_HOLD_S, longest_s=_LONGEST_HOLD_S, doublings=self._holds, random=self._random)
                self._holds += 1
            self._hold_s = max(hold_s, at_least_s)
            self._held_since = Moment(self._clock)
        if not was_open:
            self._log.warn(
                f"{self._name} does not accept telemetry: {reason}; "
                f"telemetry is held, next attempt in {self._hold_s:.1f} s"
            )

    def succeeded(self) -> None:
        """Note a success."""
        with self._lock:
            was_open = self.is_open
            self._holds = 0
        if was_open:
            self._log.info(f"{self._name} responds again")
