"""Knows whether it is worth asking an endpoint again, and when. Lets nobody wait."""

import threading
from collections.abc import Callable

from telemetry_forwarder.clock import Clock

_MOST_DOUBLINGS = 30


def jittered(ceiling_s: float, random: Callable[[], float]) -> float:
    """Between half of *ceiling_s* and all of it, so that many clients do not come back as one."""
    return ceiling_s * (0.5 + random() / 2)


class CircuitBreaker:
    """Closed while all is well; open after failures, until its time has come. From any thread.

    When the time has come it stays open, and whoever asks may probe: the next word decides.
    """

    def __init__(
        self,
        clock: Clock,
        random: Callable[[], float],
        *,
        opens_after: int = 1,
        first_s: float = 1.0,
        longest_s: float = 60.0,
    ) -> None:
        self._clock = clock
        self._random = random
        self._opens_after = opens_after
        self._first_s = first_s
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._failures = 0
        self._openings = 0
        self._opened_at_s = 0.0
        self._opened_at_ns = 0
        self._holds_s = 0.0

    @property
    def is_open(self) -> bool:
        return self._openings > 0

    def hold_s(self) -> float:
        """How long from now nobody is to ask; 0 when somebody may."""
        if not self._openings:
            return 0.0
        # By the clock that went further: nobody promises that the monotonic one counts a freeze.
        elapsed_s = max(
            self._clock.monotonic_s() - self._opened_at_s,
            (self._clock.unix_ns() - self._opened_at_ns) / 1_000_000_000,
        )
        return max(0.0, self._holds_s - elapsed_s)

    def failed(self, at_least_s: float = 0.0) -> bool:
        """Note a failure, after which nobody asks for *at_least_s*. True when it opens the circuit."""
        with self._lock:
            self._failures += 1
            if (hold_s := self.hold_s()) > 0.0:
                # Another try, under way at the same time, has told us already.
                self._hold(max(hold_s, at_least_s))
                return False
            if self._failures < self._opens_after and not at_least_s:
                return False
            ceiling_s = min(self._first_s * 2.0 ** min(self._openings, _MOST_DOUBLINGS), self._longest_s)
            self._openings += 1
            self._hold(max(jittered(ceiling_s, self._random), at_least_s))
            return self._openings == 1

    def worked(self) -> bool:
        """Note a success. True when it closes the circuit."""
        if not self._failures:
            return False
        with self._lock:
            was_open = self.is_open
            self._failures = self._openings = 0
            return was_open

    def _hold(self, seconds: float) -> None:
        self._opened_at_s = self._clock.monotonic_s()
        self._opened_at_ns = self._clock.unix_ns()
        self._holds_s = seconds
