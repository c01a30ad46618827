"""The half of a life that forwards: settings, port, and the two threads beside the main one. Any step may raise.

`lifecycle` guards each of them, because the other half, answering Lambda, must outlive this one. What threads need
is imported by `start`, when the first `next` is on its way.
"""

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.port import opened_port
from telemetry_forwarder.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_forwarder.receiver.listener import Listener
    from telemetry_forwarder.receiver.messages import InvokeEvent, ShutdownEvent
    from telemetry_forwarder.worker.thread import Worker

# Lambda gives an init 10 s; whatever is not warm by then warms up beside the first invocation.
_LONGEST_WARM_UP_S = 6.0
# Left of an invocation, or of the shutdown, for Lambda to see that we are done.
_MARGIN_S = 0.05
_LONGEST_INVOCATION_S = 900.0
# What Lambda gives to a shutdown, should it not say.
_SHUTDOWN_S = 2.0


class Session:
    """Belongs to the main thread."""

    def __init__(self, environ: "Mapping[str, str]", registration: bytes, clock: Clock) -> None:
        """Read the settings, say what is wrong with them, and open the port."""
        self._environ = environ
        self._registration = registration
        self._clock = clock
        self._settings = Settings(environ)
        self.log = Diagnostics(self._settings.log_level, clock)
        for problem in self._settings.problems:
            self.log.warn(problem)
        self._server = opened_port(self._settings.port, self.log)
        self._port = self._server.getsockname()[1]
        self._worker: Worker | None = None
        self._listener: Listener | None = None
        self.has_telemetry = False
        """Whether the subscription was taken: without telemetry nobody may wait for any. Set before `start`."""

    def subscription(self, schema: str) -> bytes:
        """The body of our subscription."""
        settings, port = self._settings, self._port
        types = ",".join(f'"{type_}"' for type_ in settings.types)
        if settings.listener == "tcp":
            destination = f'"protocol":"TCP","port":{port}'
        else:
            destination = f'"protocol":"HTTP","URI":"http://sandbox.localdomain:{port}/"'
        return (
            f'{{"schemaVersion":"{schema}","destination":{{{destination}}},"types":[{types}],'
            f'"buffering":{{"maxItems":{settings.buffer_max_items},"maxBytes":{settings.buffer_max_bytes},'
            f'"timeoutMs":{settings.buffer_timeout_ms}}}}}'
        ).encode()

    def warm_up(self) -> None:
        """Where imports would cost many times as much after the init, start now and wait until they are done.

        An init has a full CPU whatever the memory size.
        """
        if not self.has_telemetry:
            return
        settings = self._settings
        # Nobody waits for these inits, and a snapshot of a warm process is warm wherever it is restored.
        is_early = settings.initialization_type in ("provisioned-concurrency", "snap-start")
        is_cheaper_now = is_early or settings.cpu_share < 1
        if settings.warm_up == "init" or (settings.warm_up == "auto" and is_cheaper_now):
            self.start().is_warm.wait(_LONGEST_WARM_UP_S)

    @property
    def is_started(self) -> bool:
        return self._worker is not None

    def start(self) -> "Worker":
        """Start listener and worker; the first call counts. Blocks for their imports only."""
        if self._worker is not None:
            return self._worker
        from telemetry_forwarder.startup.warm_up import WarmUp

        warm_up = WarmUp()
        warm_up.wait_for_threads()
        from telemetry_forwarder.receiver.listener import Listener
        from telemetry_forwarder.receiver.messages import SubscriptionResult
        from telemetry_forwarder.worker.thread import Worker

        self._worker = worker = Worker(
            self._settings, self._environ, self._registration, self._clock, self.log, warm_up
        )
        worker.inbox.put_event(SubscriptionResult(self.has_telemetry))
        self._listener = Listener(self._settings.listener, self._server, worker.inbox, self._clock)
        self._listener.start()
        worker.start()
        return worker

    def follow(self, event: bytes) -> None:
        """Pass on Lambda's *event*, and block until the worker has no need of this invocation any more.

        At SHUTDOWN, until it has drained. In any case no longer than until shortly before the event's deadline.
        Without telemetry there is nothing to hold an invocation for, nor the end for a worker that has yet to begin:
        where the CPU is busy, its imports take seconds.
        """
        from telemetry_forwarder.receiver.messages import InvokeEvent, ShutdownEvent

        # What is neither is an event of a kind that does not exist yet.
        match self._read(event):
            case InvokeEvent() as invoked:
                self.start().tell(invoked)
                if self.has_telemetry:
                    invoked.released.wait(invoked.deadline.less(_MARGIN_S).left_s())
            case ShutdownEvent() as shut_down:
                worker = self.start()
                worker.tell(shut_down)
                if self.has_telemetry or worker.is_warm.is_set():
                    shut_down.done.wait(shut_down.deadline.less(_MARGIN_S).left_s())
                self.close()

    def close(self) -> None:
        """Give the port back: whoever comes to it from now on is told by the kernel that nobody is there."""
        if self._worker is not None and self._listener is not None:
            self._worker.inbox.close()
            self._listener.close()
        else:
            self._server.close()

    def _read(self, event: bytes) -> "InvokeEvent | ShutdownEvent | None":
        """Take *event* apart. Nothing in it is sure but its type."""
        from telemetry_forwarder.receiver.messages import InvokeEvent, ShutdownEvent

        said = _parsed(event)
        deadline = self._deadline(_at(said, "deadlineMs"))
        match _at(said, "eventType"):
            case "INVOKE":
                arn, trace_header = _at(said, "invokedFunctionArn"), _at(said, "tracing", "value")
                return InvokeEvent(_text(_at(said, "requestId")), _text(arn), _text(trace_header), deadline)
            case "SHUTDOWN":
                return ShutdownEvent(_text(_at(said, "shutdownReason")), deadline)
        return None

    def _deadline(self, unix_ms: object) -> Deadline:
        if not isinstance(unix_ms, int | float):
            return Deadline.after(_SHUTDOWN_S, self._clock)
        return Deadline.at_unix_ms(unix_ms, self._clock).within(_LONGEST_INVOCATION_S)


def _parsed(event: bytes) -> object:
    try:
        import orjson
    except ImportError:
        # The worker says so; events must be readable even then.
        import json

        return json.loads(event)
    return orjson.loads(event)


def _at(said: object, *path: str) -> object:
    for name in path:
        said = said.get(name) if isinstance(said, dict) else None
    return said


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
