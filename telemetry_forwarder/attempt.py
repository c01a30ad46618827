"""One request on its way: how much time it has, and how far it came."""

from collections.abc import Callable

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.errors import ForwarderError

# How long a wait goes on before it looks again how much time it has: `hurry` may have taken some.
SLICE_S = 0.25


class TimeIsUpError(ForwarderError):
    """The deadline has passed."""


class Attempt:
    """One request on its way: how much time it has, and how far it came."""

    __slots__ = ("_deadline", "_left_s", "has_connected", "is_pooled")

    def __init__(self, deadline: Deadline, left_s: Callable[[Deadline], float]) -> None:
        self._deadline = deadline
        self._left_s = left_s
        self.is_pooled = True
        """Whether it uses a connection that an earlier request has left."""
        self.has_connected = True

    def slice_s(self) -> float:
        """How long to wait before asking again."""
        left_s = self._left_s(self._deadline)
        if left_s == 0.0:
            raise TimeIsUpError("no answer in time" if self.has_connected else "no connection in time")
        return min(left_s, SLICE_S)

    def share(self, parts: int) -> "Attempt":
        """The same, with one of so many equal parts of the time."""
        part = Attempt(self._deadline.within(self._left_s(self._deadline) / parts), self._left_s)
        part.has_connected = False
        return part
