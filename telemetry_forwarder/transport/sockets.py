"""Opens and uses outbound sockets; no call lasts longer than its `Attempt` allows.

The timeout of a socket is for one read, so a server that sends one byte at a time would never exceed it: an `Attempt`
limits the whole request.
"""

import _socket
import errno
import os
import select
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import Cause, FailureKind, RequestError
from telemetry_forwarder.transport.resolver import Resolver

T = TypeVar("T")
MAX_IDLE = 4
"""How many idle connections are kept: one for each signal, and one more."""
KEEP_ALIVE_S = 55.0
"""How long an idle connection is kept: load balancers silently drop it after 60 s."""
_SENT_TOGETHER_BYTES = 65_536


def connect(server: tuple[str, int], attempt: Attempt, resolver: Resolver) -> "Stream":
    """Open a connection to the host and port, and note it in *attempt*. Blocks; raises `RequestError`.

    Of several addresses, the next is tried as well after 250 ms, or as soon as one fails. The first that accepts is
    used, and tried first next time. https://www.rfc-editor.org/rfc/rfc8305
    """
    attempt.has_new_connection = attempt.is_connecting = True
    race = _Race(resolver.addresses(*server, attempt))
    try:
        connection, address = race.winner(attempt)
    finally:
        race.close()
    connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    attempt.is_connecting = False
    attempt.peer = (server, address)
    resolver.prefer(server, address)
    return Stream(connection)


class Stream:
    """A connection, plain or with TLS. For one thread at a time."""

    def __init__(self, connection: _socket.socket) -> None:
        # Each wait sets the timeout that its attempt allows.
        connection.setblocking(False)
        self._socket = connection
        self._unsent = bytearray()
        self._is_broken = False
        self._timeout_s = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether it can be used for another request. An idle one that is readable was closed by the server."""
        is_open = not self._is_broken and self._socket.fileno() >= 0
        return is_open and not _is_readable(self._socket)

    @property
    def connection(self) -> _socket.socket:
        """The socket, for questions about the connection only."""
        return self._socket

    def read(self, max_bytes: int, attempt: Attempt) -> bytes:
        """Send what `write` has kept, then wait for data and return it; `b""` at its end. Raises `RequestError`."""
        self._send_unsent(attempt)
        try:
            return self._wait_for(attempt, self._socket.recv, max_bytes)
        except OSError as exc:
            raise _read_failure(exc) from exc

    def write(self, data: bytes, attempt: Attempt) -> None:
        """Send *data*, or keep it for `read` to send. May block; raises `RequestError` if the time is up.

        A hang-up does not raise: the server may have responded already, so `read` decides.
        """
        # The head of a request and a small body are sent together: one packet and one system call less.
        self._unsent += data
        if len(self._unsent) > _SENT_TOGETHER_BYTES:
            self._send_unsent(attempt)

    def start_tls(self, context: "ssl.SSLContext", host: str, attempt: Attempt) -> "Stream":
        """Return the same connection with TLS; this one is closed. Raises `RequestError`."""
        attempt.is_connecting = True
        try:
            # The name as bytes: for a str, the codec `idna` would be imported.
            encrypted = context.wrap_socket(  # it reads nothing that only the class in `socket` has
                self._socket,  # type: ignore[arg-type]
                server_hostname=host.encode(),
                do_handshake_on_connect=False,
            )
        except ValueError as exc:
            raise RequestError(FailureKind.UNTRUSTED, f"TLS failed: {_reason(exc)}") from exc
        except OSError as exc:
            # Closed before the handshake, or what the server sent is not TLS.
            raise RequestError(FailureKind.UNREACHABLE, f"no TLS: {_reason(exc)}", _cause(exc)) from exc
        finally:
            # `wrap_socket` has detached the descriptor, or failed.
            self._socket.close()
        stream = Stream(encrypted)
        stream._shake_hands(encrypted.do_handshake, attempt)
        return stream

    def close(self) -> None:
        """Close it. May be called repeatedly."""
        self._socket.close()

    def _shake_hands(self, do_handshake: Callable[[], None], attempt: Attempt) -> None:
        try:
            self._wait_for(attempt, do_handshake)
            attempt.is_connecting = False
        except (ssl.SSLEOFError, ConnectionError) as exc:
            raise RequestError(FailureKind.UNREACHABLE, "closed during the TLS handshake", Cause.CLOSED) from exc
        except OSError as exc:
            raise _read_failure(exc) from exc
        finally:
            if attempt.is_connecting:
                self.close()

    def _send_unsent(self, attempt: Attempt) -> None:
        with memoryview(self._unsent) as unsent:
            try:
                sent = 0
                while sent < len(unsent):
                    sent += self._wait_for(attempt, self._socket.send, unsent[sent:])
            except OSError:
                self._is_broken = True
            finally:
                self._unsent = bytearray()

    def _wait_for(self, attempt: Attempt, operation: Callable[..., T], *arguments: Any) -> T:
        """Repeat *operation*, a method of the socket, until it does not time out. Raises also `RequestError`."""
        while True:
            timeout_s = attempt.slice_s()
            # Most often it is unchanged, and setting it is a system call that lets another thread take the interpreter.
            if timeout_s != self._timeout_s:
                self._socket.settimeout(timeout_s)
                self._timeout_s = timeout_s
            try:
                return operation(*arguments)
            except TimeoutError:
                continue


def _cause(exc: OSError) -> Cause:
    if isinstance(exc, ConnectionRefusedError):
        return Cause.REFUSED
    return Cause.CLOSED if isinstance(exc, ConnectionError) else Cause.OTHER


def _read_failure(exc: OSError) -> Exception:
    # In this order: `ssl` is loaded when it is first used, and plain HTTP does not need it.
    if not isinstance(exc, ConnectionError) and isinstance(exc, ssl.SSLError):
        cause = Cause.CLOSED if isinstance(exc, ssl.SSLEOFError) else Cause.OTHER
        return RequestError(FailureKind.UNTRUSTED, f"TLS failed: {_reason(exc)}", cause)
    return RequestError(FailureKind.BROKEN, _reason(exc), _cause(exc))


def _reason(exc: Exception) -> str:
    return getattr(exc, "verify_message", "") or getattr(exc, "strerror", "") or str(exc)


def _is_readable(connection: _socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


class _Race:
    """Connections that are being opened to the addresses of one name."""

    def __init__(self, addresses: list[Any]) -> None:
        self._waiting = addresses[::-1]
        self._running: dict[int, tuple[_socket.socket, Any]] = {}
        self._poll = select.poll()
        self._failure = RequestError(FailureKind.UNREACHABLE, "the name has no address")

    def winner(self, attempt: Attempt) -> tuple[_socket.socket, Any]:
        """Return the first connection that is open, and its address. Blocks; raises `RequestError`."""
        # Before anything is sent: there may be no time at all.
        attempt.slice_s()
        while self._start_next() or self._running:
            # With little time, each address gets a part of it.
            wait_s = min(attempt.slice_s(), attempt.left_s() / (len(self._waiting) + 1))
            for number, _ in self._poll.poll(wait_s * 1_000):
                connection, address = self._running.pop(number)
                self._poll.unregister(number)
                code = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
                if not code:
                    return connection, address
                self._failed(OSError(code, os.strerror(code)), connection)
        raise self._failure

    def close(self) -> None:
        """Close all connections but the winner."""
        for connection, _ in self._running.values():
            connection.close()

    def _start_next(self) -> bool:
        """Begin to connect to the next address at which that does not fail at once; return whether there is one."""
        while self._waiting:
            family, kind, protocol, _, address = self._waiting.pop()
            connection = None
            try:
                # Some kernels have no IPv6.
                connection = _socket.socket(family, kind, protocol)
                connection.setblocking(False)
                code = connection.connect_ex(address)
                if code not in (0, errno.EINPROGRESS):
                    raise OSError(code, os.strerror(code))
            except OSError as exc:
                self._failed(exc, connection)
            else:
                self._running[connection.fileno()] = connection, address
                self._poll.register(connection, select.POLLOUT)
                return True
        return False

    def _failed(self, exc: OSError, connection: _socket.socket | None) -> None:
        self._failure = RequestError(FailureKind.UNREACHABLE, _reason(exc), _cause(exc))
        if connection is not None:
            connection.close()
