"""How close together invocations come. Pure, behind a clock."""

from typing import Final

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.frozen import comparable

CLOSE_GAP_S = 10.0
CLOSE_GAPS = 4
RARE_GAP_S = 30.0


@comparable
class Moment:
    """A moment on both clocks.

    Which of them goes on while the sandbox is frozen is not documented, so the longer time counts. A wall
    clock that is set back is then no trouble, and one that is set forward makes us early once.
    """

    __slots__ = ("monotonic_s", "unix_ns")

    def __init__(self, monotonic_s: float, unix_ns: int) -> None:
        self.monotonic_s: Final = monotonic_s
        self.unix_ns: Final = unix_ns

    @classmethod
    def now(cls, clock: Clock) -> "Moment":
        return cls(clock.monotonic_s(), clock.unix_ns())

    def since_s(self, earlier: "Moment") -> float:
        wall_s = (self.unix_ns - earlier.unix_ns) / 1_000_000_000
        return max(0.0, self.monotonic_s - earlier.monotonic_s, wall_s)


class InvocationRate:
    """Judges by the gaps from one INVOKE to the next, with hysteresis.

    Waiting for the end of an invocation costs some 50 ms: beside a gap of 10 s that is nothing, beside one
    of 100 ms it is half of what the sandbox can do. In between, what was so far stays.
    """

    __slots__ = ("_clock", "_close_gaps", "_last", "is_busy")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: Moment | None = None
        self._close_gaps = 0
        self.is_busy = False
        """Four gaps in a row of at most 10 s make it so, one of more than 30 s ends it."""

    def invoked(self) -> None:
        now = Moment.now(self._clock)
        if self._last:
            self._judge(now.since_s(self._last))
        self._last = now

    def _judge(self, gap_s: float) -> None:
        self._close_gaps = self._close_gaps + 1 if gap_s <= CLOSE_GAP_S else 0
        if self._close_gaps >= CLOSE_GAPS:
            self.is_busy = True
        elif gap_s > RARE_GAP_S:
            self.is_busy = False
