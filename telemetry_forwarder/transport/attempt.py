"""One request on its way: how much time it has, and how far it came."""

from collections.abc import Callable

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.errors import ForwarderError

# How long a wait goes on before it looks again how much time it has: `hurry` may have taken some.
SLICE_S = 0.25
# A wait that took so much longer than it was to take has been frozen.
_FROZEN_S = 1.0
# What an answer may take after a thaw: it was on its way, or has been sent again since.
_AFTER_THAW_S = 2.0


class TimeIsUpError(ForwarderError):
    """The deadline has passed."""


class UnreachableError(ForwarderError):
    """There is no connection."""


class UntrustedError(ForwarderError):
    """TLS failed: the next try would fail as well."""


class BrokenError(ForwarderError):
    """The connection ended before an answer, or what came is none."""


class Attempt:
    """One request on its way: how much time it has, and how far it came."""

    __slots__ = ("_deadline", "_left_s", "_was_left_s", "has_connected", "is_pooled")

    def __init__(self, deadline: Deadline, left_s: Callable[[Deadline], float]) -> None:
        self._deadline = deadline
        self._left_s = left_s
        self._was_left_s = 0.0
        self.is_pooled = True
        """Whether it uses a connection that an earlier request has left."""
        self.has_connected = True

    def slice_s(self) -> float:
        """Seconds to wait before asking again. Raises as `left_s` does."""
        return min(self.left_s(), SLICE_S)

    def left_s(self) -> float:
        """Seconds left. A freeze is not counted: the other side could not be heard.

        Raises `TimeIsUpError` where there are none.
        """
        left_s = self._left_s(self._deadline)
        if self._was_left_s - left_s > SLICE_S + _FROZEN_S:
            self._deadline = self._deadline.not_before(_AFTER_THAW_S)
            left_s = self._left_s(self._deadline)
        self._was_left_s = left_s
        if left_s == 0.0:
            raise TimeIsUpError("no answer in time" if self.has_connected else "no connection in time")
        return left_s

    def share(self, parts: int) -> "Attempt":
        """The same, with one of so many equal parts of the time."""
        deadline = self._deadline.within(self._left_s(self._deadline) / parts)
        part = Attempt(deadline, self._left_s)
        part.has_connected = False
        return part
