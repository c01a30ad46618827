"""Opens and uses outbound sockets; no call in here outlives the `Attempt` it is made for.

httpcore's timeouts are for one read each, so a server that trickles would never run into one. They are handed
through to this backend unseen, though, and here they are an `Attempt`, which knows the time that is left.
"""

import errno
import os
import select
import socket
import ssl
from contextlib import suppress
from typing import Any

import httpcore

from telemetry_forwarder.attempt import Attempt, TimeIsUpError
from telemetry_forwarder.errors import ForwarderError
from telemetry_forwarder.host_names import HostNames

_SENT_TOGETHER_BYTES = 65_536


class UntrustedError(ForwarderError):
    """TLS failed: the next try would fail as well."""


class Network(httpcore.NetworkBackend):
    """Where httpcore's connections come from. What its signatures call a timeout is an `Attempt`."""

    def __init__(self, names: HostNames | None = None) -> None:
        self._names = names or HostNames()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        attempt: Attempt = timeout
        attempt.is_pooled = attempt.has_connected = False
        connected = _connected(self._names.addresses(host, port, attempt), attempt)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        attempt.has_connected = True
        return _Stream(connected)


class _Stream(httpcore.NetworkStream):
    """A connection, plain or with TLS."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._unsent = bytearray()

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        with suppress(httpcore.WriteError):
            self._send_unsent(timeout)
        while True:
            self._socket.settimeout(timeout.slice_s())
            try:
                return self._socket.recv(max_bytes)
            except TimeoutError:
                continue
            except OSError as exc:
                raise _read_failure(exc) from exc

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        # The head of a request and a small body travel together: a packet and a system call less.
        self._unsent += buffer
        if len(self._unsent) > _SENT_TOGETHER_BYTES:
            self._send_unsent(timeout)

    def _send_unsent(self, timeout: Any) -> None:
        with memoryview(self._unsent) as unsent:
            sent = 0
            try:
                while sent < len(unsent):
                    self._socket.settimeout(timeout.slice_s())
                    with suppress(TimeoutError):
                        sent += self._socket.send(unsent[sent:])
            except OSError as exc:
                # httpcore then looks whether the server has answered before it hung up.
                raise httpcore.WriteError(str(exc)) from exc
            finally:
                self._unsent = bytearray()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.NetworkStream:
        attempt: Attempt = timeout
        attempt.has_connected = False
        try:
            # The name as bytes: of a str the codec `idna` would be asked, 2 ms of imports.
            encrypted = ssl_context.wrap_socket(
                self._socket,
                server_hostname=(server_hostname or "").encode(),
                do_handshake_on_connect=False,
            )
            _shake_hands(encrypted, attempt)
        except ValueError as exc:
            raise UntrustedError(f"TLS failed: {_said(exc)}") from exc
        finally:
            # `wrap_socket` has taken the descriptor away, or failed.
            self._socket.close()
        attempt.has_connected = True
        return _Stream(encrypted)

    def get_extra_info(self, info: str) -> Any:
        # Readable while idle: the server has closed it.
        return _is_readable(self._socket) if info == "is_readable" else None

    def close(self) -> None:
        self._socket.close()


def _shake_hands(encrypted: ssl.SSLSocket, attempt: Attempt) -> None:
    try:
        while True:
            encrypted.settimeout(attempt.slice_s())
            try:
                return encrypted.do_handshake()
            except TimeoutError:
                continue
            except (ssl.SSLEOFError, ConnectionError) as exc:
                raise httpcore.ConnectError("closed during the TLS handshake") from exc
            except OSError as exc:
                raise _read_failure(exc) from exc
    except BaseException:
        encrypted.close()
        raise


def _read_failure(exc: OSError) -> Exception:
    if isinstance(exc, ssl.SSLError):
        return UntrustedError(f"TLS failed: {_said(exc)}")
    return httpcore.ReadError(_said(exc))


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
    failure: Exception = httpcore.ConnectError("the name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        try:
            _connect(connection, address, attempt.share(len(addresses) - index))
        except (OSError, TimeIsUpError) as exc:
            connection.close()
            failure = exc if isinstance(exc, TimeIsUpError) else httpcore.ConnectError(_said(exc))
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
