"""Defines the items of the inbox: request bodies, events and results."""

from typing import NamedTuple

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.core.sync import Latch, WakeUp

# For Lambda to see our exit.
_EXIT_S = 0.05
# Storing is tried even if the deadline is nearer: to exit earlier would only lose what is held.
_LEAST_S = 0.45
# For the main thread to store what the worker holds: enough for 5 MB with 7 % of a CPU.
_STORE_S = 0.15


class Body:
    """The bytes of one request, and when they were received."""

    __slots__ = ("at", "content", "observed_ns")

    def __init__(self, content: bytes, observed_ns: int) -> None:
        self.content = content
        self.observed_ns = observed_ns
        self.at = 0
        """How many bytes are converted. Large posts are converted in slices."""

    @property
    def left_bytes(self) -> int:
        return len(self.content) - self.at


class InvokeEvent:
    """Lambda's INVOKE. The main thread calls `next` when *released* is set, and at *release_by* in any case."""

    __slots__ = (
        "_slow_by_ns",
        "arn",
        "changed",
        "has_ended",
        "release_by",
        "released",
        "released_at_s",
        "request_id",
        "trace_header",
    )

    def __init__(
        self, request_id: str, arn: str, trace_header: str, release_by: Deadline, *, slow_by_ns: int = 0
    ) -> None:
        """*release_by* is the invocation's deadline less the margin, for a wall clock that is slow by *slow_by_ns*.

        The event owns it: corrections apply to all that hold it.
        """
        self._slow_by_ns = slow_by_ns
        self.request_id = request_id
        self.arn = arn
        self.trace_header = trace_header
        self.release_by = release_by
        self.has_ended = False
        """Whether a post with the end of the invocation has arrived; it may not be converted yet."""
        self.changed = WakeUp()
        """For the main thread: notified of the end, the release and each correction."""
        self.released = Latch()
        self.released_at_s: float | None = None
        """The monotonic time of the release by the worker."""

    def correct(self, slow_by_ns: int) -> None:
        """Bring *release_by* forward if the wall clock is slower than was known."""
        if slow_by_ns > self._slow_by_ns:
            self.release_by.bring_forward((slow_by_ns - self._slow_by_ns) / 1_000_000_000)
            self._slow_by_ns = slow_by_ns
            self.changed.notify()

    def release(self, now_s: float) -> None:
        """Let the main thread call `next`; *now_s* is the monotonic time."""
        self.released_at_s = now_s
        self.released.set()
        self.changed.notify()

    def end(self) -> None:
        """Note that the end of the invocation has arrived."""
        self.has_ended = True
        self.changed.notify()


class ShutdownEvent:
    """Lambda's SHUTDOWN. The worker sets *done* when it has finished, before *deadline* if it can."""

    __slots__ = ("deadline", "done", "exit_by", "reason", "take_over_at")

    def __init__(self, reason: str, deadline: Deadline) -> None:
        self.reason = reason
        self.deadline = deadline
        self.done = Latch()
        self.exit_by = deadline.less(_EXIT_S).not_before(_LEAST_S)
        """When the process exits at the latest."""
        self.take_over_at = self.exit_by.less(_STORE_S)
        """When the main thread stores what is held, if the worker has not finished."""

    @property
    def ends_environment(self) -> bool:
        """Whether no other process follows in this environment. After a failure, one follows and reads the spool."""
        return self.reason.lower() == "spindown"


@frozen
class SubscriptionResult:
    """The result of the subscription to the Telemetry API. Without it there is no telemetry to wait for."""

    has_telemetry: bool


class SendFinished(NamedTuple):
    """A sender has finished its task for *signal*, successfully or not."""

    signal: str


WorkerEvent = InvokeEvent | ShutdownEvent | SubscriptionResult | SendFinished
Item = Body | WorkerEvent
