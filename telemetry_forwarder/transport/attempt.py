"""The time budget of one request."""

from collections.abc import Callable
from typing import Any

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.transport.outcome import Cause, FailureKind, RequestError

# How long a wait lasts before the remaining time is checked again: `Transport.limit_time` may have shortened it.
SLICE_S = 0.25
# A wait that overran by this much means that the sandbox was frozen.
_FROZEN_S = 1.0
# How long to wait for a response after a freeze: it may be in transit, or TCP sends it again.
_AFTER_FREEZE_S = 2.0


class Attempt:
    """The time left for one request, and the state of its connection."""

    __slots__ = (
        "_after_freeze_s",
        "_deadline",
        "_left_s",
        "_was_left_s",
        "has_new_connection",
        "is_connecting",
        "peer",
    )

    def __init__(self, deadline: Deadline, left_s: Callable[[Deadline], float]) -> None:
        """*left_s* returns the seconds left until a deadline; its result may shrink at any time."""
        self._deadline = deadline
        self._left_s = left_s
        self._was_left_s = 0.0
        self._after_freeze_s = _AFTER_FREEZE_S
        self.has_new_connection = False
        """Whether a connection was opened for this request; otherwise it uses that of an earlier one."""
        self.is_connecting = False
        """Whether a connection is being opened: if the time is up then, the server cannot be reached."""
        self.peer: tuple[tuple[str, int], Any] | None = None
        """The host and port, and the address, of that new connection."""

    def slice_s(self) -> float:
        """Return how many seconds to wait before calling this again. Raises as `left_s`."""
        return min(self.left_s(), SLICE_S)

    def left_s(self) -> float:
        """Return the seconds left, more than 0. Raises `RequestError` if there are none.

        The time of a freeze does not count: no response could be received.
        """
        left_s = self._left_s(self._deadline)
        if self._was_left_s - left_s > SLICE_S + _FROZEN_S:
            self._deadline = self._deadline.not_before(self._after_freeze_s)
            # Half as long after the next: otherwise invocations of a few milliseconds would prolong it for hours.
            self._after_freeze_s /= 2
            left_s = self._left_s(self._deadline)
        self._was_left_s = left_s
        if left_s == 0.0:
            if self.is_connecting:
                raise RequestError(FailureKind.UNREACHABLE, "no connection in time", Cause.LATE)
            raise RequestError(FailureKind.TIMED_OUT, "no response in time", Cause.LATE)
        return left_s
