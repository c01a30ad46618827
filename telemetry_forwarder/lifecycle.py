"""The whole life, in order: register, subscribe, follow the invocations, drain.

Owns the promise that the function never pays for our faults: once registered we leave only at SHUTDOWN. If
forwarding breaks, we say so and live on answering `next`. Modules that are not needed to register are imported
afterwards, inside the functions that need them.
"""

import time

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.errors import ForwarderError, LambdaUnreachableError
from telemetry_forwarder.lambda_api import LambdaApi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry_forwarder.config import Settings
    from telemetry_forwarder.inbox import Invoked, ShutDown
    from telemetry_forwarder.worker import Worker

# Newest first. Managed instances take the first only, older regions and emulators the second only.
_SCHEMAS = ("2025-01-29", "2022-12-13")
_SUBSCRIBED = 200
_NOT_SUPPORTED = 202
_TRY_OLDER = frozenset({400, 404})

# Lambda gives an init 10 s; whatever is not warm by then warms up beside the first invocation.
_LONGEST_WARM_UP_S = 6.0
# Left of an invocation, or of the shutdown, for Lambda to see that we are done.
_MARGIN_S = 0.05
_GIVE_UP_AFTER_S = 60.0
_FULL_CPU_MB = 1_769


class Lifecycle:
    """One life of the extension, from register to SHUTDOWN."""

    def __init__(self, api: LambdaApi, environ: "Mapping[str, str]", clock: Clock) -> None:
        self._api = api
        self._environ = environ
        self._clock = clock
        self._say = Diagnostics("info", clock)

    def run(self) -> int:
        """Live; give the exit code. Blocks for as long as the environment exists."""
        try:
            self._register()
            try:
                self._forward()
            except ForwarderError:
                raise
            except Exception as exc:
                self._say.error(
                    f"forwarding stopped: {type(exc).__name__}: {exc}; invocations go on without it"
                )
                self._only_answer()
        except ForwarderError as exc:
            # Lambda itself will have no more of us: there is nobody left to live on for.
            self._say.error(str(exc))
            return 1
        return 0

    def _register(self) -> None:
        self._api.register(("SHUTDOWN",) if self._is_managed else ("INVOKE", "SHUTDOWN"))

    @property
    def _is_managed(self) -> bool:
        """Whether this is a managed instance, where extensions may register for SHUTDOWN only."""
        return self._environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "") == "lambda-managed-instances"

    def _forward(self) -> None:
        from telemetry_forwarder.config import Settings
        from telemetry_forwarder.worker import Worker

        settings = Settings(self._environ)
        self._say = Diagnostics(settings.log_level, self._clock)
        for problem in settings.problems:
            self._say.warn(problem)
        worker = Worker(settings, self._environ, self._api.registration, self._clock, self._say)
        if self._warms_up_first(settings):
            worker.start()
        self._subscribe(settings, worker)
        if self._warms_up_first(settings):
            worker.is_warm.wait(_LONGEST_WARM_UP_S)
        self._follow(worker)

    def _subscribe(self, settings: "Settings", worker: "Worker") -> None:
        from telemetry_forwarder.inbox import Subscribed
        from telemetry_forwarder.listener import Listener

        listener = Listener(settings.listener, settings.port, worker.inbox, self._clock, self._say)
        listener.start()
        status = 0
        for schema in _SCHEMAS:
            status = self._api.subscribe(_subscription(settings, schema, listener.port))
            if status not in _TRY_OLDER:
                break
        if status == _NOT_SUPPORTED:
            self._say.info("there is no Telemetry API here (a local emulator?); nothing will be forwarded")
        elif status != _SUBSCRIBED:
            self._say.error(f"the subscription was answered {status}; nothing will be forwarded")
        worker.inbox.put_event(Subscribed(status == _SUBSCRIBED))

    def _warms_up_first(self, settings: "Settings") -> bool:
        """Below one vCPU, imports after the init cost many times as much: do them before it ends.

        An init has a full CPU whatever the memory size; afterwards the share is memory / 1769 MB.
        https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
        """
        if settings.warm_up == "auto":
            return settings.memory_mb < _FULL_CPU_MB
        return settings.warm_up == "init"

    def _follow(self, worker: "Worker") -> None:
        from telemetry_forwarder.inbox import Invoked, ShutDown

        while True:
            match self._read_event(self._next_event(worker.start)):
                case Invoked() as invoked:
                    worker.tell(invoked)
                    invoked.let_go.wait(invoked.deadline.less(_MARGIN_S).left_s())
                case ShutDown() as shut_down:
                    worker.tell(shut_down)
                    shut_down.done.wait(shut_down.deadline.less(_MARGIN_S).left_s())
                    return
                case None:
                    pass  # An event of a kind that does not exist yet.

    def _only_answer(self) -> None:
        while b'"SHUTDOWN"' not in self._next_event():
            pass

    def _next_event(self, when_asked: "Callable[[], None] | None" = None) -> bytes:
        """Lambda's next event. Outlives a Runtime API that is away for a while."""
        give_up = Deadline.after(_GIVE_UP_AFTER_S, self._clock)
        pause_s = 0.01
        while True:
            try:
                return self._api.next_event(when_asked)
            except LambdaUnreachableError as exc:
                # The wait inside `next` may itself have been hours: what counts is how long it fails at once.
                if pause_s > 1.0 and give_up.is_over():
                    raise
                self._say.warn(str(exc), once_a_minute="next")
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)

    def _read_event(self, event: bytes) -> "Invoked | ShutDown | None":
        """Take apart what `next` was answered. Nothing in it is sure but its type."""
        import orjson

        from telemetry_forwarder.inbox import Invoked, ShutDown

        said = orjson.loads(event)
        deadline = Deadline.at_unix_ms(int(said.get("deadlineMs") or 0), self._clock)
        match said.get("eventType"):
            case "INVOKE":
                tracing = said.get("tracing") or {}
                arn, request_id = said.get("invokedFunctionArn") or "", said.get("requestId") or ""
                return Invoked(request_id, arn, tracing.get("value") or "", deadline)
            case "SHUTDOWN":
                return ShutDown(said.get("shutdownReason") or "", deadline)
        return None


def _subscription(settings: "Settings", schema: str, port: int) -> bytes:
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
