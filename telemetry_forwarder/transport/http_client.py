"""Sends requests to endpoints without a proxy: one at a time on a connection, which is kept for the next.

Used instead of httpx, whose import and requests take too long for a cold start; httpx is used for proxies.
`tests/transport/test_http_client.py` fails when httpx has become cheap to import.
"""

import re
import ssl
import threading
import zlib
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.core.version import VERSION
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import authorization_header, host_and_port, server_of
from telemetry_forwarder.errors import ForwarderError
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import (
    MAX_BODY_BYTES,
    Cause,
    FailureKind,
    RequestError,
    Response,
    response_of,
)
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.response_reader import ResponseReader
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MAX_IDLE, Stream, connect

USER_AGENT = f"telemetry-forwarder/{VERSION} OTel-OTLP-Exporter-Python/{VERSION}"
"""https://opentelemetry.io/docs/specs/otel/protocol/exporter/#user-agent"""
_READ_BYTES = 65_536
# In a name or a value these would begin another header.
_HEADER_ENDS = re.compile(rb"[\0\r\n]")
# Higher levels take more CPU than the smaller body saves.
_GZIP_LEVEL = 2
_GZIP_FORMAT = 31
_TUNNEL_CAUSES = {"407": Cause.LOGIN}
_TUNNEL_STATUS = rb"\s*HTTP/1\.\d +(\d{3})\b"
"""Compiled when it is used: hardly any start needs it."""
_MAX_TUNNEL_HEAD_BYTES = 16_384


def request_headers(endpoint: Endpoint) -> list[tuple[bytes, bytes]]:
    """Return the headers of each request to *endpoint*; the user's take precedence. Without Content-Length."""
    headers = {
        "host": host_and_port(urlsplit(endpoint.url)),
        "user-agent": USER_AGENT,
        "content-type": "application/x-protobuf",
    }
    if endpoint.compression == "gzip":
        headers["content-encoding"] = "gzip"
    return [(name.encode(), value.encode()) for name, value in {**headers, **endpoint.headers}.items()]


def compressed(endpoint: Endpoint, body: bytes) -> bytes:
    """Return *body*, compressed if *endpoint* wants that."""
    return zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_FORMAT) if endpoint.compression == "gzip" else body


class _Connection(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Connection)


class IdleConnections(Generic[C]):
    """The connections that no request uses, `MAX_IDLE` at most. For any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: list[tuple[tuple[str, int], C, Deadline]] = []
        self._lock = threading.Lock()

    def take(self, server: tuple[str, int]) -> C | None:
        """Remove and return the latest connection to the host and port; None if there is none."""
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == server:
                    _, connection, until = self._idle.pop(index)
                    if not until.is_over():
                        return connection
                    connection.close()
        return None

    def keep(self, server: tuple[str, int], connection: C) -> None:
        """Keep *connection* for `KEEP_ALIVE_S`; close the oldest if there are too many."""
        with self._lock:
            self._idle.append((server, connection, Deadline.after(KEEP_ALIVE_S, self._clock)))
            oldest = self._idle.pop(0)[1] if len(self._idle) > MAX_IDLE else None
        if oldest is not None:
            oldest.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection, _ in idle:
            connection.close()


class HttpClient:
    """Keeps connections and shares them between the endpoints of one host and port. For any thread."""

    def __init__(self, context: "ssl.SSLContext | None", resolver: Resolver, clock: Clock | None = None) -> None:
        """*context*: for `https`, else None."""
        self._context = context
        self._resolver = resolver
        self._idle: IdleConnections[Stream] = IdleConnections(clock or Clock())

    def sender(self, endpoint: Endpoint) -> Callable[[bytes, Attempt], Response]:
        """Return a function that sends a body to *endpoint*."""
        headers = request_headers(endpoint)
        if any(_HEADER_ENDS.search(name + value) for name, value in headers):
            return _refuse
        url = urlsplit(endpoint.url)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        lines = (b"POST %b HTTP/1.1" % target.encode(), *(b"%b: %b" % header for header in headers))
        return partial(self._send, _Destination(endpoint, server_of(url), b"\r\n".join(lines)))

    def close(self) -> None:
        self._idle.close()

    def _connection(self, server: tuple[str, int], attempt: Attempt) -> Stream:
        """Return an idle connection to the host and port, or open a new one: blocks. Raises `RequestError`."""
        while (idle := self._idle.take(server)) is not None:
            if idle.is_usable:
                return idle
            idle.close()
        stream = connect(server, attempt, self._resolver)
        return stream.start_tls(self._context, server[0], attempt) if self._context else stream

    def _send(self, to: "_Destination", body: bytes, attempt: Attempt) -> Response:
        stream = self._connection(to.server, attempt)
        is_last = True
        try:
            packed = compressed(to.endpoint, body)
            stream.write(b"%b\r\ncontent-length: %d\r\n\r\n" % (to.head, len(packed)), attempt)
            stream.write(packed, attempt)
            response, is_last = read_response(stream, attempt)
        finally:
            if is_last:
                stream.close()
        if not is_last:
            self._idle.keep(to.server, stream)
        return response


@frozen
class _Destination:
    endpoint: Endpoint
    server: tuple[str, int]
    head: bytes
    """Of each request, without Content-Length."""


def _refuse(body: bytes, attempt: Attempt) -> Response:
    # Headers are secrets, so none is quoted.
    raise RequestError(FailureKind.BROKEN, "the request is not HTTP")


def read_response(stream: Stream, attempt: Attempt) -> tuple[Response, bool]:
    """Return the response, and whether the connection cannot be used again. Blocks; raises `RequestError`.

    Once the status is received there is a response, whatever happens to the rest of it.
    """
    reader = ResponseReader(MAX_BODY_BYTES)
    message, received, has_ended = None, b"", True
    try:
        while message is None:
            received = stream.read(_READ_BYTES, attempt)
            if not received:
                raise RequestError(FailureKind.BROKEN, "closed before a response", Cause.CLOSED)
            message = reader.feed(received)
    except ForwarderError as exc:
        message = reader.received_part()
        if message is None:
            if isinstance(exc, RequestError):
                raise
            raise RequestError(FailureKind.BROKEN, str(exc)) from exc
        has_ended = reader.ends_with_connection and not received
    return response_of(message.status, message.headers, message.body, has_ended=has_ended), reader.is_last


def open_tunnel(stream: Stream, proxy: SplitResult, server: tuple[str, int], attempt: Attempt) -> None:
    """Have the proxy connect *stream* to *server*. Blocks; raises `RequestError` and closes *stream*."""
    host = f"[{server[0]}]" if ":" in server[0] else server[0]
    target = f"{host}:{server[1]}".encode()
    lines = [b"CONNECT %b HTTP/1.1" % target, b"host: %b" % target]
    lines += [f"proxy-{name}: {value}".encode() for name, value in authorization_header(proxy).items()]
    attempt.is_connecting = True
    try:
        stream.write(b"\r\n".join([*lines, b"", b""]), attempt)
        read_tunnel_response(stream, attempt)
        attempt.is_connecting = False
    finally:
        if attempt.is_connecting:
            stream.close()


def read_tunnel_response(stream: Stream, attempt: Attempt) -> None:
    """Read the response to CONNECT, and interim responses before it. Blocks; raises `RequestError` if it is no 2xx."""
    head, total = b"", 0
    while True:
        # Byte by byte: what follows the head is not the proxy's.
        received = stream.read(1, attempt)
        head += received
        total += 1
        if not received or total > _MAX_TUNNEL_HEAD_BYTES:
            raise RequestError(FailureKind.UNREACHABLE, "proxy: no response to CONNECT", Cause.NO_PROXY)
        if not head.endswith((b"\r\n\r\n", b"\n\n")) or not head.strip():
            continue
        match = re.match(_TUNNEL_STATUS, head)
        status = match[1].decode() if match else "something else than HTTP"
        if status.startswith("2"):
            return
        if not status.startswith("1"):
            cause = _TUNNEL_CAUSES.get(status, Cause.OTHER) if match else Cause.NO_PROXY
            raise RequestError(FailureKind.UNREACHABLE, f"proxy: responded with {status} to CONNECT", cause)
        head = b""
