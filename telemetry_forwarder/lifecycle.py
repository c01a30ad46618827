"""Runs the extension: register, subscribe, process events until SHUTDOWN.

Our errors never harm the function: once registered, the process exits only at SHUTDOWN, or if Lambda refuses `next` or
cannot be reached for 60 s. If forwarding fails, one line is logged and `next` is still called. Modules that `register`
does not need are imported afterwards, in functions.
"""

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.errors import ForwarderError, LambdaUnreachableError, ThreadStartError
from telemetry_forwarder.lambda_api import LambdaApi, is_managed_instance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry_forwarder.session import Session

# Newest first. Managed instances accept only the first, older regions and emulators only the second.
_SCHEMAS = ("2025-01-29", "2022-12-13")
_SUBSCRIBED = 200
_NOT_SUPPORTED = 202
_TRY_OLDER_SCHEMA = frozenset({400, 404})

_GIVE_UP_AFTER_S = 60.0


class Lifecycle:
    """The course of one process, from register to SHUTDOWN."""

    def __init__(self, api: LambdaApi, environ: "Mapping[str, str]", clock: Clock) -> None:
        self._api = api
        self._environ = environ
        self._clock = clock
        self._log = Diagnostics("info", clock)
        self._session: Session | None = None

    def run(self) -> int:
        """Run until SHUTDOWN and return the exit code."""
        try:
            # Extensions of managed instances may register for SHUTDOWN only.
            is_managed = is_managed_instance(self._environ)
            self._api.register(("SHUTDOWN",) if is_managed else ("INVOKE", "SHUTDOWN"))
            self._try(self._start_session)
            event = b""
            while not _is_shutdown(event):
                event = self._next_event()
                self._process(event)
        except ForwarderError as exc:
            # Lambda itself refuses us, or is gone: nothing is left to do.
            self._log.error(str(exc))
            return 1
        return 0

    def _try(self, step: "Callable[[], object]") -> None:
        """Take one step of forwarding; if it fails, log that and continue without forwarding.

        If only a thread cannot be started, a later step tries that again.
        """
        try:
            step()
        except ThreadStartError as exc:
            self._log.warn(f"{exc}; forwarding starts with a later event", once_a_minute="threads")
        except Exception as exc:  # noqa: BLE001  # the function must not be harmed by any of our errors
            session, self._session = self._session, None
            self._log.error(f"forwarding stopped: {type(exc).__name__}: {exc}; invocations continue without it")
            if session is not None:
                session.close()

    def _start_session(self) -> None:
        from telemetry_forwarder.session import Session

        self._session = Session(self._environ, self._api.registration, self._clock)
        self._log = self._session.log
        self._session.has_telemetry = self._subscribe(self._session)
        self._session.warm_up()

    def _subscribe(self, session: "Session") -> bool:
        """Subscribe to telemetry; return whether Lambda will send any."""
        status = 0
        for schema in _SCHEMAS:
            status = self._api.subscribe(session.subscription(schema))
            if status not in _TRY_OLDER_SCHEMA:
                break
        if status == _NOT_SUPPORTED:
            self._log.info("there is no Telemetry API here (a local emulator?); nothing will be forwarded")
        elif status != _SUBSCRIBED:
            self._log.error(f"the Telemetry API responded with {status} to the subscription; nothing will be forwarded")
        return status == _SUBSCRIBED

    def _next_event(self) -> bytes:
        """Return Lambda's next event; retry while the Runtime API cannot be reached."""
        give_up = Deadline.after(_GIVE_UP_AFTER_S, self._clock)
        pause_s = 0.01
        while True:
            try:
                return self._api.next_event(when_sent=self._start_threads)
            except LambdaUnreachableError as exc:
                # The limit counts from the start of `next`, which may have waited for hours. Give up only after several
                # failed retries as well: then the pause has grown above 1 s.
                if pause_s > 1.0 and give_up.is_over():
                    raise
                self._log.warn(str(exc), once_a_minute="next")
            self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)

    def _start_threads(self) -> None:
        if self._session is not None:
            self._try(self._session.start)

    def _process(self, event: bytes) -> None:
        if (session := self._session) is not None:
            self._try(lambda: session.process(event))


def _is_shutdown(event: bytes) -> bool:
    # Not parsed: this must work when everything else fails. Quotes within a JSON string are escaped, so the caller's
    # trace header cannot match.
    return b'"eventType":"SHUTDOWN"' in b"".join(event.split())
