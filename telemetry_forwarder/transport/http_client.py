"""The way to endpoints that no proxy stands before: one request at a time on a connection, which is kept for the next.

In the place of httpx, which is for proxies then: that saves 100 of the 434 million instructions of a life, and 2.4 of
the 10.5 of a warm invocation (callgrind, CPython 3.11). `tests/transport/test_http_client.py`
notices when httpx has become light.
"""

import re
import ssl
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.errors import ForwarderError, MessageError
from telemetry_forwarder.http1 import Message
from telemetry_forwarder.transport.attempt import Attempt, BrokenError
from telemetry_forwarder.transport.outcome import KEPT_HEADERS, LONGEST_BODY, Response
from telemetry_forwarder.transport.response_reader import ResponseReader
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MOST_IDLE, Network, Stream

_PORTS = {"http": 80, "https": 443}
_RECEIVED_BYTES = 65_536
# In a name or a value they would begin another header.
_ENDS = re.compile(rb"[\0\r\n]")


class HttpClient:
    """May be used from several threads at once; what goes to one host and port shares connections."""

    def __init__(
        self, context: "ssl.SSLContext | None", network: Network, clock: Clock | None = None
    ) -> None:
        """*context*: for `https`, else None."""
        self._clock = clock or Clock()
        self._context = context
        self._network = network
        self._idle: list[_Idle] = []
        self._lock = threading.Lock()

    def way(self, url: str, headers: Sequence[tuple[bytes, bytes]]) -> "_Way":
        """The way to *url*, plain ASCII without credentials, for requests with *headers*."""
        return _Way(self, url, headers)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for one in idle:
            one.stream.close()

    def taken(self, to: tuple[str, int], attempt: Attempt) -> Stream:
        """A connection that an earlier request has left, or a new one, for which it blocks.

        Raises `UnreachableError`, `UntrustedError` and `TimeIsUpError`.
        """
        while idle := self._last_idle(to):
            if not idle.until.is_over() and idle.stream.is_usable:
                return idle.stream
            idle.stream.close()
        stream = self._network.connect(*to, attempt)
        return stream.start_tls(self._context, to[0], attempt) if self._context else stream

    def leave(self, to: tuple[str, int], stream: Stream) -> None:
        """Let the next request have *stream*; of too many the oldest is closed."""
        with self._lock:
            self._idle.append(_Idle(to, stream, Deadline.after(KEEP_ALIVE_S, self._clock)))
            oldest = self._idle.pop(0) if len(self._idle) > MOST_IDLE else None
        if oldest is not None:
            oldest.stream.close()

    def _last_idle(self, to: tuple[str, int]) -> "_Idle | None":
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index].to == to:
                    return self._idle.pop(index)
        return None


@frozen
class _Idle:
    to: tuple[str, int]
    stream: Stream
    until: Deadline


class _Way:
    def __init__(self, door: HttpClient, url: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        parts = urlsplit(url)
        self._door = door
        self._to = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._is_http = not any(_ENDS.search(name + value) for name, value in headers)
        lines = (b"POST %b HTTP/1.1" % target.encode(), *(b"%b: %b" % header for header in headers))
        self._head = b"\r\n".join(lines)

    def exchange(self, packed: bytes, attempt: Attempt) -> Response:
        """Send one request and read the answer. Blocks.

        Raises `UnreachableError`, `UntrustedError`, `BrokenError` and `TimeIsUpError`.
        """
        if not self._is_http:
            # Headers are secrets, so none is quoted.
            raise BrokenError("the request is not HTTP")
        stream = self._door.taken(self._to, attempt)
        is_last = True
        try:
            stream.write(b"%b\r\ncontent-length: %d\r\n\r\n" % (self._head, len(packed)), attempt)
            stream.write(packed, attempt)
            answer, is_last = _read(stream, attempt)
        finally:
            if is_last:
                stream.close()
        if not is_last:
            self._door.leave(self._to, stream)
        headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
        return Response(answer.status, headers, answer.body)


def _read(stream: Stream, attempt: Attempt) -> tuple[Message, bool]:
    """The answer, and whether the connection is of no use any more.

    Its status is the endpoint's word as soon as it is there, however its body ends.
    """
    reader = ResponseReader(LONGEST_BODY)
    answer, failure = None, ForwarderError("")
    try:
        while answer is None:
            received = stream.read(_RECEIVED_BYTES, attempt)
            if not received:
                raise BrokenError("closed before an answer")
            answer = reader.feed(received)
    except MessageError as exc:
        failure = BrokenError(str(exc))
    except ForwarderError as exc:
        failure = exc
    answer = answer or reader.received_part()
    if answer is None:
        raise failure
    return answer, reader.is_last
