"""Opens and uses outbound sockets; no call in here outlives the `Attempt` it is made for.

A timeout of a socket is for one read, so a server that trickles would never run into one: an `Attempt` knows the time
that is left for the whole.
"""

import errno
import os
import select
import socket
import ssl
from contextlib import suppress
from typing import Any

from telemetry_forwarder.transport.attempt import (
    Attempt,
    BrokenError,
    TimeIsUpError,
    UnreachableError,
    UntrustedError,
)
from telemetry_forwarder.transport.resolver import Resolver

MOST_IDLE = 4
"""Connections that are kept: one for each signal, and one to spare."""
KEEP_ALIVE_S = 55.0
"""For so long: less than the 60 s after which load balancers silently drop what is idle."""
_SENT_TOGETHER_BYTES = 65_536


class Network:
    """Where connections come from."""

    def __init__(self, names: Resolver | None = None) -> None:
        self._names = names or Resolver()

    def connect(self, host: str, port: int, attempt: Attempt) -> "Stream":
        """A connection that is noted in *attempt*. Raises `UnreachableError` and `TimeIsUpError`."""
        attempt.is_pooled = attempt.has_connected = False
        connected = _connected(self._names.addresses(host, port, attempt), attempt)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        attempt.has_connected = True
        return Stream(connected)


class Stream:
    """A connection, plain or with TLS."""

    def __init__(self, connection: socket.socket) -> None:
        # Whatever waits has an attempt whose time it is.
        connection.setblocking(False)
        self._socket = connection
        self._unsent = bytearray()
        self._has_lost_some = False
        self._timeout_s = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether another request may go over it: readable while it is idle, the server has closed it."""
        return not (self._has_lost_some or _is_readable(self._socket))

    def read(self, max_bytes: int, attempt: Attempt) -> bytes:
        """What has come, `b""` at its end; sends first what is still to be sent. Blocks.

        Raises `BrokenError`, `UntrustedError` and `TimeIsUpError`.
        """
        self._send_unsent(attempt)
        while True:
            self._limit_wait(attempt)
            try:
                return self._socket.recv(max_bytes)
            except TimeoutError:
                continue
            except OSError as exc:
                raise _read_failure(exc) from exc

    def write(self, data: bytes, attempt: Attempt) -> None:
        """Send *data*, or keep it for `read` to send. May block; raises `TimeIsUpError`.

        A server that has hung up is none: it may have answered before, so what `read` finds is its word.
        """
        # The head of a request and a small body travel together: a packet and a system call less.
        self._unsent += data
        if len(self._unsent) > _SENT_TOGETHER_BYTES:
            self._send_unsent(attempt)

    def _send_unsent(self, attempt: Attempt) -> None:
        with memoryview(self._unsent) as unsent:
            try:
                sent = 0
                while sent < len(unsent):
                    self._limit_wait(attempt)
                    with suppress(TimeoutError):
                        sent += self._socket.send(unsent[sent:])
            except OSError:
                self._has_lost_some = True
            finally:
                self._unsent = bytearray()

    def _limit_wait(self, attempt: Attempt) -> None:
        timeout_s = attempt.slice_s()
        # Most often the same as before, and to set it is a system call with another thread's turn in it.
        if timeout_s != self._timeout_s:
            self._socket.settimeout(timeout_s)
            self._timeout_s = timeout_s

    def start_tls(self, context: "ssl.SSLContext", host: str, attempt: Attempt) -> "Stream":
        """The same connection, with TLS; this one is closed. Raises what `read` does and `UnreachableError`."""
        attempt.has_connected = False
        try:
            # The name as bytes: of a str the codec `idna` would be asked, 2 ms of imports.
            encrypted = context.wrap_socket(
                self._socket, server_hostname=host.encode(), do_handshake_on_connect=False
            )
            _shake_hands(encrypted, attempt)
        except ValueError as exc:
            raise UntrustedError(f"TLS failed: {_said(exc)}") from exc
        except OSError as exc:
            # Gone before it has begun, or it has said something that is not TLS.
            raise UnreachableError(f"no TLS: {_said(exc)}") from exc
        finally:
            # `wrap_socket` has taken the descriptor away, or failed.
            self._socket.close()
        attempt.has_connected = True
        return Stream(encrypted)

    def close(self) -> None:
        """Close it, once or more often."""
        self._socket.close()


def _shake_hands(encrypted: "ssl.SSLSocket", attempt: Attempt) -> None:
    try:
        while True:
            encrypted.settimeout(attempt.slice_s())
            try:
                return encrypted.do_handshake()
            except TimeoutError:
                continue
            except (ssl.SSLEOFError, ConnectionError) as exc:
                raise UnreachableError("closed during the TLS handshake") from exc
            except OSError as exc:
                raise _read_failure(exc) from exc
    except BaseException:
        encrypted.close()
        raise


def _read_failure(exc: OSError) -> Exception:
    # In this order: with plain HTTP alone nobody needs `ssl`, which is loaded when it is touched.
    if not isinstance(exc, ConnectionError) and isinstance(exc, ssl.SSLError):
        return UntrustedError(f"TLS failed: {_said(exc)}")
    return BrokenError(_said(exc))


def _said(exc: Exception) -> str:
    """What an exception says, in the words for people."""
    return getattr(exc, "verify_message", "") or getattr(exc, "strerror", "") or str(exc)


def _is_readable(connection: socket.socket) -> bool:
    # A closed one has no descriptor to ask.
    if connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _connected(addresses: list[Any], attempt: Attempt) -> socket.socket:
    """A connection to the first of *addresses* that takes it; the time is divided fairly among them."""
    failure: Exception = UnreachableError("the name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = None
        try:
            # Some kernels have no IPv6.
            connection = socket.socket(family, kind, protocol)
            _connect(connection, address, attempt.share(len(addresses) - index))
        except (OSError, TimeIsUpError) as exc:
            if connection is not None:
                connection.close()
            failure = exc if isinstance(exc, TimeIsUpError) else UnreachableError(_said(exc))
        else:
            return connection
    raise failure


def _connect(connection: socket.socket, address: Any, attempt: Attempt) -> None:
    # Asked before anything goes out: there may be no time at all.
    attempt.slice_s()
    connection.setblocking(False)
    code = connection.connect_ex(address)
    if code == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(connection, select.POLLOUT)
        while not poll.poll(attempt.slice_s() * 1_000):
            pass
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
