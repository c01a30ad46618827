"""Runs the forwarding half of the process: settings, listening port, listener and worker. Any step may raise.

`lifecycle` catches those errors, because `next` must be called even if forwarding fails. Modules that only the threads
need are imported by `start`: below one vCPU before the first `next` (`warm_up`), otherwise after it was sent.
"""

import _socket

# The C module behind `os`, which is not imported yet.
import posix

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_forwarder.receiver.listener import Listener
    from telemetry_forwarder.receiver.messages import ShutdownEvent
    from telemetry_forwarder.worker.thread import Worker

# Lambda allows an init 10 s; the rest of the warm-up runs concurrently with the first invocation.
_MAX_WARM_UP_S = 6.0
# Lambda's longest and shortest timeout of a function, and the time that it allows a shutdown.
_MAX_INVOCATION_S = 900.0
_MIN_INVOCATION_S = 1.0
_MAX_SHUTDOWN_S = 2.0
# For a shutdown whose deadline is unknown: less, because its event may have waited for us.
_MIN_SHUTDOWN_S = 1.5
# Storing is tried for this long even if the deadline is nearer: to exit earlier would only lose what is held.
_LEAST_TIME_TO_STORE_S = 0.06
# For an end that Lambda has not announced. Tools that stop a process by a signal wait longer before they kill it.
_END_S = 0.5
_LATEST_UNIX_MS = 1e15
# More than another process is likely to open before the listener runs: connections beyond it wait for a second or more.
_LISTEN_BACKLOG = 4_096


class Session:
    """The forwarding of one process. Belongs to the main thread."""

    def __init__(self, environ: "Mapping[str, str]", registration: bytes, clock: Clock) -> None:
        """Read the settings, log what is wrong with them, and open the port."""
        self._environ = environ
        self._registration = registration
        self._clock = clock
        self._settings = Settings(environ)
        self.log = Diagnostics(self._settings.log_level, clock)
        for problem in self._settings.problems:
            self.log.warn(problem)
        self._server = open_port(self._settings.port, self.log)
        self._port = self._server.getsockname()[1]
        # Other processes of the environment cannot guess these 128 bits, so what is posted there comes from Lambda.
        self._path = "/" + posix.urandom(16).hex()
        self._worker: Worker | None = None
        self._listener: Listener | None = None
        self._has_threads = self._has_ended = False
        self.has_telemetry = False
        """Whether Lambda accepted the subscription; if not, nothing waits for telemetry. Set before `start`."""
        self.wakeup = -1  # Becomes readable when a signal arrives. Set before `start`, too.

    def subscription(self, schema: str) -> bytes:
        """Return the body of the subscription request for the Telemetry API's *schema* version."""
        settings, port = self._settings, self._port
        types = ",".join(f'"{type_}"' for type_ in settings.types)
        if settings.listener == "tcp":
            destination = f'"protocol":"TCP","port":{port}'
        else:
            destination = f'"protocol":"HTTP","URI":"http://sandbox.localdomain:{port}{self._path}"'
        return (
            f'{{"schemaVersion":"{schema}","destination":{{{destination}}},"types":[{types}],'
            f'"buffering":{{"maxItems":{settings.buffer_max_items},"maxBytes":{settings.buffer_max_bytes},'
            f'"timeoutMs":{settings.buffer_timeout_ms}}}}}'
        ).encode()

    def warm_up(self) -> None:
        """Start the threads and wait for their imports, if these would take longer after the init.

        During init Lambda provides full CPU regardless of memory size.
        """
        if not self.has_telemetry:
            return
        settings = self._settings
        # No request waits for these inits, and a snapshot keeps what is imported.
        is_early = settings.initialization_type in ("provisioned-concurrency", "snap-start")
        is_cheaper_now = is_early or settings.cpu_share < 1
        if settings.warm_up == "init" or (settings.warm_up == "auto" and is_cheaper_now):
            self.start().is_warm.wait(_MAX_WARM_UP_S, or_readable=self.wakeup)

    def start(self) -> "Worker":
        """Start worker and listener at the first call; return the worker. Blocks while their modules are imported.

        Raises `ThreadStartError` if a thread cannot be started; the next call tries again.
        """
        if self._worker is None or self._listener is None:
            self._worker, self._listener = self._new_threads()
        if not self._has_threads:
            # The listener last: a post that it has accepted needs a worker.
            self._worker.start()
            self._listener.start()
            self._has_threads = True
        return self._worker

    def _new_threads(self) -> "tuple[Worker, Listener]":
        from telemetry_forwarder.startup.warm_up import WarmUp

        warm_up = WarmUp(self._environ)
        warm_up.wait_for_threads()
        if warm_up.problem:
            self.log.warn(f"the warm-up bundle cannot be used: {warm_up.problem}")
        from telemetry_forwarder.receiver.listener import Listener
        from telemetry_forwarder.receiver.messages import SubscriptionResult
        from telemetry_forwarder.startup.threads import log_uncaught
        from telemetry_forwarder.worker.thread import Worker

        log_uncaught(self.log)
        worker = Worker(
            self._settings, self._environ, self._registration, clock=self._clock, log=self.log, warm_up=warm_up
        )
        worker.timer.wakeup = self.wakeup
        worker.inbox.put_event(SubscriptionResult(self.has_telemetry))
        return worker, Listener(self._settings.listener, self._server, worker.inbox, self._clock, path=self._path)

    def process(self, event: bytes) -> None:
        """Pass Lambda's *event* to the worker and block until the worker is done with it.

        For INVOKE, until the worker no longer needs the invocation, or the time for it is over (`NextTimer`); for
        SHUTDOWN, until it has drained. INVOKE returns before its deadline; SHUTDOWN too, unless less than 0.5 s is
        left. INVOKE waits only if there is telemetry. SHUTDOWN waits if there is telemetry or the worker is warm: on
        a busy CPU its imports take seconds.
        """
        from telemetry_forwarder.receiver.messages import InvokeEvent, ShutdownEvent

        # Any field but the type may be missing or of the wrong type.
        parsed = _parse_json(event)
        unix_ms = _get(parsed, "deadlineMs")
        # Other event types, which Lambda may add later, are ignored.
        match _get(parsed, "eventType"):
            case "INVOKE":
                slow_by_ns = self._clock.slow_by_ns
                deadline = self._deadline(unix_ms, longest_s=_MAX_INVOCATION_S, otherwise_s=_MIN_INVOCATION_S)
                arn, trace_header = _text(parsed, "invokedFunctionArn"), _text(parsed, "tracing", "value")
                worker = self.start()
                release_by = worker.timer.release_by(deadline)
                invoked = InvokeEvent(_text(parsed, "requestId"), arn, trace_header, release_by, slow_by_ns=slow_by_ns)
                worker.put_event(invoked)
                if self.has_telemetry:
                    worker.timer.wait(invoked)
            case "SHUTDOWN":
                deadline = self._deadline(unix_ms, longest_s=_MAX_SHUTDOWN_S, otherwise_s=_MIN_SHUTDOWN_S)
                deadline = deadline.not_before(_LEAST_TIME_TO_STORE_S)
                self._shut_down(self.start(), ShutdownEvent(_text(parsed, "shutdownReason"), deadline))

    def end(self) -> None:
        """Deliver or store what is held, as at SHUTDOWN, unless it has come. Blocks for half a second at most."""
        if self._has_ended:
            return
        if self._worker is not None:
            from telemetry_forwarder.receiver.messages import ShutdownEvent

            # No reason of Lambda's: another process may follow and read the spool.
            self._shut_down(self._worker, ShutdownEvent("", Deadline.after(_END_S, self._clock)))
        self.close()

    def _shut_down(self, worker: "Worker", event: "ShutdownEvent") -> None:
        if self.has_telemetry or worker.is_warm.is_set():
            worker.shut_down(event)
        else:
            worker.put_event(event)
        self._has_ended = True
        self.close()

    def close(self) -> None:
        """Close the port, so that the kernel refuses later connections."""
        if self._worker is not None and self._listener is not None:
            self._worker.inbox.close()
            self._listener.close()
        else:
            self._server.close()

    def _deadline(self, unix_ms: object, *, longest_s: float, otherwise_s: float) -> Deadline:
        """Return the deadline of an event that has just arrived, *longest_s* from now at most.

        One that has passed cannot be true, because Lambda does not wait for us then: the wall clock differs from
        Lambda's. Then, and without a valid deadline, it is *otherwise_s* from now.
        """
        left_s = 0.0
        if isinstance(unix_ms, int | float):
            # An integer may be too large for a float.
            unix_s = max(-_LATEST_UNIX_MS, min(unix_ms, _LATEST_UNIX_MS)) / 1_000
            left_s = unix_s - (self._clock.unix_ns() + self._clock.slow_by_ns) / 1_000_000_000
        return Deadline.after(min(left_s, longest_s) if left_s > 0.0 else otherwise_s, self._clock)


def open_port(port: int, log: Diagnostics) -> _socket.socket:
    """Return a socket that listens on *port*, or on any free port for 0. If *port* is taken: a warning, and any.

    Until the listener runs, the kernel holds the connections; so the port can be open before its modules are imported.
    """
    try:
        return _listen(port)
    except OSError as exc:
        problem = f"port {port} is not available ({exc.strerror}); using any free port instead"
        log.warn(f"TELEMETRY_FORWARDER_PORT: {problem}")
        return _listen(0)


def _listen(port: int) -> _socket.socket:
    server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    # A process restarted in the same environment must not wait for the earlier connections to leave TIME_WAIT.
    server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        # Every interface: `sandbox.localdomain` (Lambda) and 127.0.0.1 (its emulators) are not the same everywhere.
        server.bind(("0.0.0.0", port))  # noqa: S104
        # It fails, too, if another socket began to listen after `bind`.
        server.listen(_LISTEN_BACKLOG)
    except OSError:
        server.close()
        raise
    return server


def _parse_json(event: bytes) -> object:
    try:
        import orjson

        return orjson.loads(event)
    except ImportError:
        # The worker logs this; events must be readable even so.
        import json

        return json.loads(event)
    except ValueError:
        from telemetry_forwarder.telemetry.json_values import read_json

        return read_json(event)


def _get(parsed: object, *path: str) -> object:
    for name in path:
        parsed = parsed.get(name) if isinstance(parsed, dict) else None
    return parsed


def _text(parsed: object, *path: str) -> str:
    value = _get(parsed, *path)
    # A lone surrogate cannot be exported.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
