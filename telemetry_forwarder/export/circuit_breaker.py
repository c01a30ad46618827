"""Decides whether and when an endpoint that failed is tried again; logs each change. Never blocks."""

import threading
from collections.abc import Callable

from telemetry_forwarder.clock import Clock, Moment
from telemetry_forwarder.diagnostics import Diagnostics

_FIRST_OPEN_S = 1.0
_MAX_OPEN_S = 60.0
_MAX_DOUBLINGS = 30


def backoff_s(first_s: float, *, longest_s: float, doublings: int, random: Callable[[], float]) -> float:
    """Return *first_s* doubled that often, less up to half of it, so that many clients do not return at once."""
    ceiling_s = min(first_s * 2.0 ** min(doublings, _MAX_DOUBLINGS), longest_s)
    return ceiling_s * (0.5 + random() / 2)


def spread_s(requested_s: float, random: Callable[[], float]) -> float:
    """Return *requested_s* prolonged by up to half, 60 s at most: a server may name one moment to many clients."""
    return requested_s + random() * min(requested_s / 2, _MAX_OPEN_S)


class CircuitBreaker:
    """Closed while requests succeed; open after a failure, for a time that doubles. For any thread.

    After that time it stays open, but a probe may be sent; its result closes it or starts the next time.
    """

    def __init__(self, name: str, *, clock: Clock, log: Diagnostics, random: Callable[[], float]) -> None:
        """*name* identifies in the log what is failing."""
        self._name = name
        self._clock = clock
        self._log = log
        self._random = random
        # Several senders report the results of one server at the same time.
        self._lock = threading.Lock()
        self._openings = 0
        """How often it has opened since the last success."""
        self._open_s = 0.0
        self._opened_at = Moment(clock)

    @property
    def is_open(self) -> bool:
        return self._openings > 0

    def open_for_s(self) -> float:
        """Return how long from now nothing should be sent; 0 if a request may be sent."""
        return max(0.0, self._open_s - Moment(self._clock).since_s(self._opened_at)) if self.is_open else 0.0

    def failed(self, reason: str, at_least_s: float = 0.0) -> None:
        """Note a failure, and open for *at_least_s* or somewhat longer."""
        with self._lock:
            was_open = self.is_open
            open_s = self.open_for_s()
            # Otherwise a concurrent request has failed before: the same failure does not double the time.
            if open_s == 0.0:
                open_s = backoff_s(_FIRST_OPEN_S, longest_s=_MAX_OPEN_S, doublings=self._openings, random=self._random)
                self._openings += 1
            self._open_s = max(open_s, spread_s(at_least_s, self._random))
            self._opened_at = Moment(self._clock)
        if not was_open:
            self._log.warn(
                f"{self._name} does not accept telemetry: {reason}; "
                f"telemetry is held, next attempt in {self._open_s:.1f} s"
            )

    def succeeded(self) -> None:
        with self._lock:
            was_open = self.is_open
            self._openings = 0
        if was_open:
            self._log.info(f"{self._name} responds again")
