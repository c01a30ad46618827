"""Judges whether invocations come close together. No I/O."""

from math import inf

from telemetry_forwarder.clock import Moment

_CLOSE_GAP_S = 10.0
_CLOSE_GAPS = 4
_RARE_GAP_S = 30.0


class InvocationRate:
    """Judges the rate by the gaps between INVOKE events, with hysteresis.

    To wait for the end of an invocation costs it some tens of milliseconds: little compared with a gap of 10 s, but a
    large part of the environment's time if the gap is 100 ms. Between the two thresholds nothing changes.
    """

    def __init__(self) -> None:
        self._last: Moment | None = None
        self._close_gaps = 0
        self.is_busy = False
        """True after four gaps in a row of at most 10 s, until a gap exceeds 30 s."""

    def invoked(self, now: Moment) -> None:
        """Record an INVOKE event."""
        gap_s = now.since_s(self._last) if self._last else inf
        self._last = now
        self._close_gaps = self._close_gaps + 1 if gap_s <= _CLOSE_GAP_S else 0
        if self._close_gaps >= _CLOSE_GAPS:
            self.is_busy = True
        elif gap_s > _RARE_GAP_S:
            self.is_busy = False
