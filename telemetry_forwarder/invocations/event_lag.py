"""Estimates how long events take to arrive, and from that by how much the wall clock is wrong. No I/O."""

# Events arrive sooner than this. If they seem to take longer, the wall clock is fast.
_MAX_LAG_NS = 60_000_000_000


class EventLag:
    """The shortest time that an event has taken to arrive; negative while the wall clock is slow."""

    def __init__(self) -> None:
        self._known_ns: int | None = None

    @property
    def ns(self) -> int:
        """Zero until an event has arrived."""
        return self._known_ns or 0

    def note(self, lag_ns: int) -> None:
        """Record the time that an event has taken to arrive."""
        known_ns = self._known_ns
        if lag_ns < 0 or known_ns is None:
            self._known_ns = lag_ns
        elif known_ns < 0:
            # The clock has been set meanwhile, unless this event has waited for a thaw.
            self._known_ns = min(lag_ns, _MAX_LAG_NS)
        else:
            self._known_ns = min(lag_ns, known_ns)

    def correct(self, at_ns: int) -> int:
        """Return *at_ns*, read from our clock, as Lambda's shows it, if ours is slow, or fast by over a minute."""
        return at_ns - self.ns if self.ns < 0 or self.ns > _MAX_LAG_NS else at_ns
