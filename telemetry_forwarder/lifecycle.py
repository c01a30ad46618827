"""Runs the extension: register, subscribe, process events until SHUTDOWN.

Our errors never harm the function: once registered, the process exits only at SHUTDOWN or a signal, or if Lambda
refuses `next` or cannot be reached for 60 s. If forwarding fails, one line is logged and `next` still called. What is
held then, or at any exit, is stored first. Modules that `register` does not need are imported afterwards.
"""

import _signal  # type: ignore[import-not-found]  # the C module behind `signal`, which would import `enum`

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.errors import (
    ForwarderError,
    LambdaRefusedError,
    LambdaUnreachableError,
    TerminatedError,
    ThreadStartError,
)
from telemetry_forwarder.lambda_api import LambdaApi, is_managed_instance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import TypeVar

    from telemetry_forwarder.session import Session

    Argument = TypeVar("Argument")

# Newest first. Managed instances accept only the first, older regions and emulators only the second.
_SCHEMAS = ("2025-01-29", "2022-12-13")
_SUBSCRIBED = 200
_NOT_SUPPORTED = 202
_TRY_OLDER_SCHEMA = frozenset({400, 404})
_SERVER_ERROR = 500

# Before the second and the third attempt to register or to subscribe: Lambda allows an init 10 s.
_PAUSES_S = (0.05, 0.2)
_GIVE_UP_AFTER_S = 60.0


class Lifecycle:
    """The course of one process, from register to SHUTDOWN."""

    def __init__(self, api: LambdaApi, environ: "Mapping[str, str]", clock: Clock) -> None:
        self._api = api
        self._environ = environ
        self._clock = clock
        self._log = Diagnostics("info", clock)
        self._session: Session | None = None

    def run(self, raise_at_signals: "Callable[[], None]" = lambda: None) -> int:
        """Run until SHUTDOWN or `TerminatedError`, and return the exit code. Afterwards signals have no effect.

        *raise_at_signals* installs the handlers that raise `TerminatedError`, once at most.
        """
        code = 0
        try:
            try:
                raise_at_signals()
                self._run_until_shutdown()
            except Exception as exc:  # noqa: BLE001  # a traceback would not be marked as ours
                # Lambda itself refuses us, or is gone: nothing is left to do but to store what is held.
                self._log.error(str(exc) if isinstance(exc, ForwarderError) else f"{type(exc).__name__}: {exc}")
                code = 1
            _block_signals()
        except TerminatedError as exc:
            self._log.warn(f"ended by {exc}, without SHUTDOWN")
            code = 0
        self._end_session()
        return code

    def _run_until_shutdown(self) -> None:
        # Extensions of managed instances may register for SHUTDOWN only.
        is_managed = is_managed_instance(self._environ)
        events = ("SHUTDOWN",) if is_managed else ("INVOKE", "SHUTDOWN")
        self._attempt(self._api.register, events)
        self._try(self._start_session)
        event = b""
        while not _is_shutdown(event):
            event = self._next_event()
            if _is_shutdown(event):
                _block_signals()
            self._process(event)

    def _attempt(self, call: "Callable[[Argument], int]", argument: "Argument") -> int:
        """Return the status of *call*; repeat it twice if Lambda responds with 5xx or not at all."""
        for pause_s in _PAUSES_S:
            try:
                status = call(argument)
                if status < _SERVER_ERROR:
                    return status
                problem = f"Lambda responded with {status}"
            except LambdaUnreachableError as exc:
                problem = str(exc)
            except LambdaRefusedError as exc:
                if exc.status < _SERVER_ERROR:
                    raise
                problem = str(exc)
            self._log.warn(f"{problem}; trying again")
            self._clock.sleep(pause_s)
        return call(argument)

    def _try(self, step: "Callable[[], object]") -> None:
        """Take one step of forwarding; if it fails, log that and continue without forwarding.

        If only a thread cannot be started, a later step tries that again.
        """
        try:
            step()
        except ThreadStartError as exc:
            self._log.warn(f"{exc}; forwarding starts with a later event", once_a_minute="threads")
        except Exception as exc:  # noqa: BLE001  # the function must not be harmed by any of our errors
            self._log.error(f"forwarding stopped: {type(exc).__name__}: {exc}; invocations continue without it")
            self._end_session()

    def _end_session(self) -> None:
        """Stop forwarding, if it has not been stopped; first deliver or store what is held, within half a second."""
        if self._session is None:
            return
        # A signal ends the process only when everything is stored.
        usual = _block_signals()
        try:
            self._session.end()
        except Exception as exc:  # noqa: BLE001  # as in `_try`: whatever failed may fail again
            self._log.error(f"what was held may be lost: {type(exc).__name__}: {exc}")
        self._session = None
        _signal.pthread_sigmask(_signal.SIG_SETMASK, usual)

    def _start_session(self) -> None:
        from telemetry_forwarder.session import Session

        self._session = Session(self._environ, self._api.registration, self._clock)
        self._log = self._session.log
        self._session.wakeup = self._api.wakeup
        self._session.has_telemetry = self._subscribe(self._session)
        self._session.warm_up()

    def _subscribe(self, session: "Session") -> bool:
        """Subscribe to telemetry; return whether Lambda will send any."""
        status = 0
        for schema in _SCHEMAS:
            status = self._attempt(self._api.subscribe, session.subscription(schema))
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
        if (session := self._session) is not None:
            self._try(lambda: session.start().timer.sent())  # noqa: PLW0108  # `start` may raise, too

    def _process(self, event: bytes) -> None:
        if (session := self._session) is not None:
            self._try(lambda: session.process(event))


def _block_signals() -> "Collection[int]":
    """Postpone all signals to this thread; return those that were blocked already."""
    blocked: Collection[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    return blocked


def _is_shutdown(event: bytes) -> bool:
    # Not parsed: this must work when everything else fails. Quotes within a JSON string are escaped, so the caller's
    # trace header cannot match.
    return b'"eventType":"SHUTDOWN"' in b"".join(event.split())
