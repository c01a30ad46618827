"""Reads the clocks and computes deadlines and elapsed times. No other module reads a clock.

Imported before `register`: only C modules of the standard library.
"""

import time


class Clock:
    """The machine's two clocks. Tests replace it by one that they advance."""

    __slots__ = ("slow_by_ns",)

    def __init__(self) -> None:
        self.slow_by_ns = 0
        """How slow the wall clock is, if events of Lambda seemed to come from the future. Set by the worker."""

    # Assigned, not wrapped in methods: a warm invocation calls them a hundred times.
    unix_ns = staticmethod(time.time_ns)
    """Return the wall time, for timestamps and Lambda's `deadlineMs`. May jump on thaw."""

    monotonic_s = staticmethod(time.monotonic)
    """Return the time for measuring durations, which never goes backwards."""

    thread_cpu_s = staticmethod(time.thread_time)
    """Return the CPU time that the calling thread has used."""

    sleep = staticmethod(time.sleep)
    """Block for that many seconds."""


class Deadline:
    """A moment at which waiting ends. Created once where the limit is known, then passed down."""

    __slots__ = ("_at_s", "_clock")

    def __init__(self, at_s: float, clock: Clock) -> None:
        self._at_s = at_s
        self._clock = clock

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> "Deadline":
        return cls(clock.monotonic_s() + seconds, clock)

    def left_s(self, now_s: float | None = None) -> float:
        """Return the seconds left, never negative. Pass *now_s* if you have just read the monotonic clock."""
        left_s = self._at_s - (self._clock.monotonic_s() if now_s is None else now_s)
        # Not `max`: a warm invocation calls this and `is_over` forty times.
        return left_s if left_s > 0.0 else 0.0

    def is_over(self, now_s: float | None = None) -> bool:
        """Return whether no time is left; *now_s* as for `left_s`."""
        # Not `<=`: a deadline of NaN is over.
        return not self._at_s > (self._clock.monotonic_s() if now_s is None else now_s)

    def less(self, margin_s: float) -> "Deadline":
        """Return the deadline *margin_s* earlier."""
        return Deadline(self._at_s - margin_s, self._clock)

    def bring_forward(self, seconds: float) -> None:
        """Make this deadline *seconds* earlier, for all that hold it: the clock it was read from was slow."""
        self._at_s -= seconds

    def not_before(self, seconds: float) -> "Deadline":
        """Return the later of this deadline and *seconds* from now."""
        return Deadline(max(self._at_s, self._clock.monotonic_s() + seconds), self._clock)

    def within(self, seconds: float) -> "Deadline":
        """Return the earlier of this deadline and *seconds* from now."""
        return Deadline(min(self._at_s, self._clock.monotonic_s() + seconds), self._clock)


class Moment:
    """The current moment on the monotonic and the wall clock.

    Lambda does not document which of them runs while the sandbox is frozen, so the longer elapsed time counts.
    A wall clock that is set back does no harm; one that is set forward makes one flush early.
    """

    __slots__ = ("monotonic_s", "unix_ns")

    def __init__(self, clock: Clock) -> None:
        self.monotonic_s = clock.monotonic_s()
        self.unix_ns = clock.unix_ns()

    def since_s(self, earlier: "Moment") -> float:
        """Return the seconds from *earlier* to this moment; never negative."""
        wall_s = (self.unix_ns - earlier.unix_ns) / 1_000_000_000
        return max(0.0, self.monotonic_s - earlier.monotonic_s, wall_s)
