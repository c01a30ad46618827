"""What the worker receives through the inbox: request bodies and events."""

from telemetry_forwarder.core.sync import Latch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.clock import Deadline


class Body:
    """The bytes of one post, and when they came."""

    __slots__ = ("content", "observed_ns")

    def __init__(self, content: bytes, observed_ns: int) -> None:
        self.content = content
        self.observed_ns = observed_ns


class InvokeEvent:
    """Lambda's INVOKE. Whoever waits before asking for `next` waits for *released*."""

    __slots__ = ("arn", "deadline", "released", "request_id", "trace_header")

    def __init__(self, request_id: str, arn: str, trace_header: str, deadline: "Deadline") -> None:
        self.request_id = request_id
        self.arn = arn
        self.trace_header = trace_header
        self.deadline = deadline
        self.released = Latch()


class ShutdownEvent:
    """Lambda's SHUTDOWN. Everything is over when *done*, and in any case at *deadline*."""

    __slots__ = ("deadline", "done", "reason")

    def __init__(self, reason: str, deadline: "Deadline") -> None:
        self.reason = reason
        self.deadline = deadline
        self.done = Latch()

    @property
    def ends_environment(self) -> bool:
        """Whether this environment has no other life: after a failure it begins anew, and finds what is on disk."""
        return self.reason.lower() == "spindown"


class SubscriptionResult:
    """How the subscription went. Without telemetry nobody may wait for any."""

    __slots__ = ("has_telemetry",)

    def __init__(self, has_telemetry: bool) -> None:
        self.has_telemetry = has_telemetry


class SendFinished:
    """What was on its way for *signal* has come to an end, one way or the other."""

    __slots__ = ("signal",)

    def __init__(self, signal: str) -> None:
        self.signal = signal


if TYPE_CHECKING:
    Item = Body | InvokeEvent | ShutdownEvent | SubscriptionResult | SendFinished
