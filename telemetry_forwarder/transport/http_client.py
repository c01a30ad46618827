"""Sends requests to endpoints without a proxy: one at a time on a connection, which is kept for the next.

Used instead of httpx, whose import and requests take too long for a cold start; httpx is used for proxies.
`tests/transport/test_http_client.py` fails when httpx has become cheap to import.
"""

import re
import ssl
import threading
import zlib
from urllib.parse import urlsplit

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import host_and_port
from telemetry_forwarder.errors import ForwarderError, MessageError
from telemetry_forwarder.http1 import Message
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import KEPT_HEADERS, MAX_BODY_BYTES, FailureKind, RequestError, Response
from telemetry_forwarder.transport.response_reader import ResponseReader
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MAX_IDLE, Network, Stream

_PORTS = {"http": 80, "https": 443}
_READ_BYTES = 65_536
# In a name or a value these would begin another header.
_HEADER_ENDS = re.compile(rb"[\0\r\n]")
# Higher levels take more CPU than the smaller body saves.
_GZIP_LEVEL = 2
_GZIP_FORMAT = 31


def request_headers(endpoint: Endpoint, user_agent: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of each request to *endpoint*; the user's take precedence. Without Content-Length."""
    headers = {
        b"host": host_and_port(urlsplit(endpoint.url)).encode(),
        b"user-agent": user_agent.encode(),
        b"content-type": b"application/x-protobuf",
    }
    if endpoint.compression == "gzip":
        headers[b"content-encoding"] = b"gzip"
    return list((headers | {key.encode(): value.encode() for key, value in endpoint.headers.items()}).items())


def compressed(endpoint: Endpoint, body: bytes) -> bytes:
    """Return *body*, compressed if *endpoint* wants that."""
    if endpoint.compression != "gzip":
        return body
    return zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_FORMAT)


class HttpClient:
    """Keeps connections and shares them between the endpoints of one host and port. For any thread."""

    def __init__(self, context: "ssl.SSLContext | None", network: Network, clock: Clock | None = None) -> None:
        """*context*: for `https`, else None."""
        self._clock = clock or Clock()
        self._context = context
        self._network = network
        self._idle: list[_Idle] = []
        # For `_idle`: the senders of all signals use it.
        self._lock = threading.Lock()

    def sender(self, endpoint: Endpoint, user_agent: str) -> "HttpSender":
        return HttpSender(self, endpoint, user_agent)

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.stream.close()

    def connection(self, server: tuple[str, int], attempt: Attempt) -> Stream:
        """Return an idle connection to the host and port, or open a new one: blocks. Raises `RequestError`."""
        while idle := self._take_idle(server):
            if not idle.until.is_over() and idle.stream.is_usable:
                return idle.stream
            idle.stream.close()
        stream = self._network.connect(*server, attempt)
        return stream.start_tls(self._context, server[0], attempt) if self._context else stream

    def keep(self, server: tuple[str, int], stream: Stream) -> None:
        """Keep *stream* for the next request; close the oldest if there are too many."""
        with self._lock:
            self._idle.append(_Idle(server, stream, Deadline.after(KEEP_ALIVE_S, self._clock)))
            oldest = self._idle.pop(0) if len(self._idle) > MAX_IDLE else None
        if oldest is not None:
            oldest.stream.close()

    def _take_idle(self, server: tuple[str, int]) -> "_Idle | None":
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index].server == server:
                    return self._idle.pop(index)
        return None


@frozen
class _Idle:
    server: tuple[str, int]
    stream: Stream
    until: Deadline


class HttpSender:
    """A `RequestSender`."""

    def __init__(self, client: HttpClient, endpoint: Endpoint, user_agent: str) -> None:
        url = urlsplit(endpoint.url)
        headers = request_headers(endpoint, user_agent)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        lines = (b"POST %b HTTP/1.1" % target.encode(), *(b"%b: %b" % header for header in headers))
        self._client = client
        self._endpoint = endpoint
        self._server = (url.hostname or "", url.port or _PORTS[url.scheme])
        self._head = b"\r\n".join(lines)
        self._is_http = not any(_HEADER_ENDS.search(name + value) for name, value in headers)

    def packed(self, body: bytes) -> bytes:
        return compressed(self._endpoint, body)

    def send(self, packed: bytes, attempt: Attempt) -> Response:
        if not self._is_http:
            # Headers are secrets, so none is quoted.
            raise RequestError(FailureKind.BROKEN, "the request is not HTTP")
        stream = self._client.connection(self._server, attempt)
        is_last = True
        try:
            stream.write(b"%b\r\ncontent-length: %d\r\n\r\n" % (self._head, len(packed)), attempt)
            stream.write(packed, attempt)
            message, is_last = _read(stream, attempt)
        finally:
            if is_last:
                stream.close()
        if not is_last:
            self._client.keep(self._server, stream)
        headers = {name: message.headers[name] for name in KEPT_HEADERS if name in message.headers}
        return Response(message.status, headers, message.body)

    def close(self) -> None:
        self._client.close()


def _read(stream: Stream, attempt: Attempt) -> tuple[Message, bool]:
    """Return the response, and whether the connection cannot be used again.

    Once the status is received there is a response, whatever happens to its body.
    """
    reader = ResponseReader(MAX_BODY_BYTES)
    message = None
    try:
        while message is None:
            received = stream.read(_READ_BYTES, attempt)
            if not received:
                raise RequestError(FailureKind.BROKEN, "closed before a response")
            message = reader.feed(received)
    except ForwarderError as exc:
        message = reader.received_part()
        if message is None and isinstance(exc, MessageError):
            raise RequestError(FailureKind.BROKEN, str(exc)) from exc
        if message is None:
            raise
    return message, reader.is_last
