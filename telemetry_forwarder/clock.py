"""Knows what time it is, and how much of it is left. Nobody else reads the clock.

Imported before `register`: standard library's C modules only.
"""

import time


class Clock:
    """The machine's two clocks. Tests move a fake one by hand."""

    __slots__ = ()

    # Not in methods of ours: a warm invocation asks them a hundred times.
    unix_ns = staticmethod(time.time_ns)
    """Wall time, for timestamps and for Lambda's `deadlineMs`. May jump on thaw."""

    monotonic_s = staticmethod(time.monotonic)
    """Time for measuring: never goes back, has no date."""

    sleep = staticmethod(time.sleep)
    """Block for so many seconds."""


class Deadline:
    """A moment after which waiting is over. Made once where the limit is known, then handed down."""

    __slots__ = ("_at_s", "_clock")

    def __init__(self, at_s: float, clock: Clock) -> None:
        self._at_s = at_s
        self._clock = clock

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> "Deadline":
        return cls(clock.monotonic_s() + seconds, clock)

    @classmethod
    def at_unix_ms(cls, unix_ms: float, clock: Clock) -> "Deadline":
        """The moment that Lambda names in `deadlineMs`, judged by the wall clock as it stands now."""
        return cls.after(unix_ms / 1_000 - clock.unix_ns() / 1_000_000_000, clock)

    def left_s(self, now_s: float | None = None) -> float:
        """Seconds left; zero when it is over, never negative. *now_s*: for who has asked the clock already."""
        left_s = self._at_s - (self._clock.monotonic_s() if now_s is None else now_s)
        # Not `max`: these two are asked forty times an invocation.
        return left_s if left_s > 0.0 else 0.0

    def is_over(self, now_s: float | None = None) -> bool:
        """Whether nothing is left of it; *now_s* as for `left_s`."""
        # Not `<=`: no time at all is left of a deadline that is no number.
        return not self._at_s > (self._clock.monotonic_s() if now_s is None else now_s)

    def less(self, margin_s: float) -> "Deadline":
        """The same moment, *margin_s* earlier."""
        return Deadline(self._at_s - margin_s, self._clock)

    def not_before(self, seconds: float) -> "Deadline":
        """The later of this deadline and *seconds* from now."""
        return Deadline(max(self._at_s, self._clock.monotonic_s() + seconds), self._clock)

    def within(self, seconds: float) -> "Deadline":
        """The sooner of this deadline and *seconds* from now."""
        return Deadline(min(self._at_s, self._clock.monotonic_s() + seconds), self._clock)
