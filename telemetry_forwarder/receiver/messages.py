"""Defines the items of the inbox: request bodies, events and results."""

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.core.sync import Latch


class Body:
    """The bytes of one request, and when they were received."""

    __slots__ = ("content", "observed_ns")

    def __init__(self, content: bytes, observed_ns: int) -> None:
        self.content = content
        self.observed_ns = observed_ns


class InvokeEvent:
    """Lambda's INVOKE. `next` is called only when *released* is set."""

    __slots__ = ("arn", "deadline", "released", "request_id", "trace_header")

    def __init__(self, request_id: str, arn: str, trace_header: str, deadline: Deadline) -> None:
        self.request_id = request_id
        self.arn = arn
        self.trace_header = trace_header
        self.deadline = deadline
        self.released = Latch()


class ShutdownEvent:
    """Lambda's SHUTDOWN. The worker sets *done* when it has finished, before *deadline* if it can."""

    __slots__ = ("deadline", "done", "reason")

    def __init__(self, reason: str, deadline: Deadline) -> None:
        self.reason = reason
        self.deadline = deadline
        self.done = Latch()

    @property
    def ends_environment(self) -> bool:
        """Whether no other process follows in this environment. After a failure, one follows and reads the spool."""
        return self.reason.lower() == "spindown"


@frozen
class SubscriptionResult:
    """The result of the subscription to the Telemetry API. Without it there is no telemetry to wait for."""

    has_telemetry: bool


@frozen
class SendFinished:
    """A sender has finished its task for *signal*, successfully or not."""

    signal: str


WorkerEvent = InvokeEvent | ShutdownEvent | SubscriptionResult | SendFinished
Item = Body | WorkerEvent
