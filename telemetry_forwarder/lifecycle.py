"""The whole life, in order: register, subscribe, follow the invocations, drain.

Owns the promise that the function never pays for our faults: once registered we leave only at SHUTDOWN. If
forwarding breaks, we say so and live on answering `next`. Modules that are not needed to register are imported
afterwards, inside the functions that need them.
"""

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.errors import ForwarderError, LambdaUnreachableError
from telemetry_forwarder.lambda_api import LambdaApi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry_forwarder.session import Session

# Newest first. Managed instances take the first only, older regions and emulators the second only.
_SCHEMAS = ("2025-01-29", "2022-12-13")
_SUBSCRIBED = 200
_NOT_SUPPORTED = 202
_TRY_OLDER = frozenset({400, 404})

_GIVE_UP_AFTER_S = 60.0


class Lifecycle:
    """One life of the extension, from register to SHUTDOWN."""

    def __init__(self, api: LambdaApi, environ: "Mapping[str, str]", clock: Clock) -> None:
        self._api = api
        self._environ = environ
        self._clock = clock
        self._log = Diagnostics("info", clock)
        self._forwarding: Session | None = None

    def run(self) -> int:
        """Live; give the exit code. Blocks for as long as the environment exists."""
        try:
            self._register()
            self._guard(self._prepare)
            event = b""
            while not _is_shutdown(event):
                event = self._next_event()
                self._follow(event)
        except ForwarderError as exc:
            # Lambda itself will have no more of us: there is nobody left to live on for.
            self._log.error(str(exc))
            return 1
        return 0

    def _register(self) -> None:
        self._api.register(("SHUTDOWN",) if self._is_managed else ("INVOKE", "SHUTDOWN"))

    @property
    def _is_managed(self) -> bool:
        """Whether this is a managed instance, where extensions may register for SHUTDOWN only."""
        return self._environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "") == "lambda-managed-instances"

    def _guard(self, step: "Callable[[], object]") -> None:
        """Take a step of the forwarding; should it fail, say so and live on without forwarding."""
        try:
            step()
        except Exception as exc:
            forwarding, self._forwarding = self._forwarding, None
            self._log.error(f"forwarding stopped: {type(exc).__name__}: {exc}; invocations go on without it")
            if forwarding is not None:
                forwarding.close()

    def _prepare(self) -> None:
        from telemetry_forwarder.session import Session

        self._forwarding = Session(self._environ, self._api.registration, self._clock)
        self._log = self._forwarding.log
        self._forwarding.has_telemetry = self._subscribe(self._forwarding)
        self._forwarding.warm_up()

    def _subscribe(self, forwarding: "Session") -> bool:
        status = 0
        for schema in _SCHEMAS:
            status = self._api.subscribe(forwarding.subscription(schema))
            if status not in _TRY_OLDER:
                break
        if status == _NOT_SUPPORTED:
            self._log.info("there is no Telemetry API here (a local emulator?); nothing will be forwarded")
        elif status != _SUBSCRIBED:
            self._log.error(f"the subscription was answered {status}; nothing will be forwarded")
        return status == _SUBSCRIBED

    def _next_event(self) -> bytes:
        """Lambda's next event. Outlives a Runtime API that is away for a while."""
        give_up = Deadline.after(_GIVE_UP_AFTER_S, self._clock)
        pause_s = 0.01
        while True:
            try:
                return self._api.next_event(when_sent=self._start)
            except LambdaUnreachableError as exc:
                # The wait inside `next` may itself have been hours: what counts is how long it fails at once.
                if pause_s > 1.0 and give_up.is_over():
                    raise
                self._log.warn(str(exc), once_a_minute="next")
            self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)

    def _start(self) -> None:
        if (forwarding := self._forwarding) is not None:
            self._guard(forwarding.start)

    def _follow(self, event: bytes) -> None:
        if (forwarding := self._forwarding) is not None:
            self._guard(lambda: forwarding.process(event))


def _is_shutdown(event: bytes) -> bool:
    # Not parsed: this must hold when nothing else of ours does. Within a value the quotes would be escaped, so what
    # a caller puts into its trace header cannot be taken for it.
    return b'"eventType":"SHUTDOWN"' in b"".join(event.split())
