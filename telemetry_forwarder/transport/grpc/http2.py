"""One request at a time on an HTTP/2 connection: what a gRPC client needs of RFC 9113.

h2, the usual library, ends a running request when GOAWAY is received; servers send it before the last response of a
connection. grpcio has its own sockets, proxies, back-off and log, which know nothing of our deadlines.
"""

from collections.abc import Iterable
from contextlib import suppress

from hpack import Decoder, HPACKError

from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.grpc.frames import (
    ACK,
    DEFAULT_WINDOW_BYTES,
    END_HEADERS,
    END_STREAM,
    MAX_FRAME_BYTES,
    Frame,
    Kind,
    Setting,
    encode_frame,
    encode_headers,
    encode_settings,
    take_frame,
)
from telemetry_forwarder.transport.outcome import MAX_BODY_BYTES, Cause, FailureKind, RequestError
from telemetry_forwarder.transport.sockets import Stream

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + encode_settings({Setting.ENABLE_PUSH: 0})
_READ_BYTES = 65_536
# The message of a refusal is one: a limit that a server exceeds would have its request sent again.
_MAX_HEADER_BYTES = 262_144

Headers = Iterable[tuple[bytes, bytes]]


class Http2Response:
    """A response, complete or not. Names of headers are in lower case; that of the status is `:status`."""

    __slots__ = ("body", "headers", "is_complete", "trailers")

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        """At most `MAX_BODY_BYTES`."""
        self.trailers: dict[str, str] = {}
        self.is_complete = False

    def add(self, headers: dict[str, str]) -> None:
        """Add the headers, skipping those of interim responses, or the trailers."""
        if self.headers:
            self.trailers = headers
        elif not headers.get(":status", "").startswith("1"):
            self.headers = headers


class Http2Connection:
    """An HTTP/2 connection on *stream*, which it closes. For one thread at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = Decoder(_MAX_HEADER_BYTES)
        self._received = bytearray()
        self._unsent = _PREFACE
        self._id = -1
        """Of the stream, in the sense of HTTP/2, of the latest request: 1, 3, 5, …"""
        self._response = Http2Response()
        self._header_block = bytearray()
        self._ends_with_headers = False
        self._has_settings = False
        self.is_last = False
        """Whether the connection cannot be used for another request."""
        # How much may be sent: on a new stream, on the stream of the latest request, and on the connection.
        self._initial_window = self._window = self._connection_window = DEFAULT_WINDOW_BYTES

    def is_usable(self, attempt: Attempt) -> bool:
        """Process what was received while idle; return whether another request can be sent."""
        with suppress(RequestError):
            while not (self.is_last or self._stream.is_usable):
                self._receive(attempt)
            return not self.is_last
        return False

    def request(self, headers: Headers, body: bytes, attempt: Attempt) -> Http2Response:
        """Send a request and wait for its response. Blocks; after a `RequestError` the connection must be closed.

        Once a part of the body is received there is a response, whatever happens to the rest.
        """
        self._id += 2
        self._window = self._initial_window
        response = self._response = Http2Response()
        try:
            self._write(b"".join(encode_headers(headers, self._id)), attempt)
            self._exchange(body, response, attempt)
        except RequestError:
            if not response.body:
                raise
        self.is_last = self.is_last or not response.is_complete
        return response

    def close(self) -> None:
        self._stream.close()

    def _exchange(self, body: bytes, response: Http2Response, attempt: Attempt) -> None:
        """Send *body* and receive *response* until it is complete or long enough."""
        sent = 0
        while not response.is_complete and len(response.body) < MAX_BODY_BYTES:
            size = min(len(body) - sent, MAX_FRAME_BYTES, self._window, self._connection_window)
            if size <= 0:
                self._receive(attempt)
                continue
            flags = END_STREAM if sent + size == len(body) else 0
            self._write(encode_frame(Kind.DATA, flags, self._id, body[sent : sent + size]), attempt)
            sent += size
            self._window -= size
            self._connection_window -= size
        # Otherwise the server waits for the rest of the body.
        self.is_last = self.is_last or sent < len(body)

    def _write(self, data: bytes, attempt: Attempt) -> None:
        self._stream.write(self._unsent + data, attempt)
        self._unsent = b""

    def _receive(self, attempt: Attempt) -> None:
        """Wait for data and process it. Raises `RequestError`."""
        received = self._stream.read(_READ_BYTES, attempt)
        if not received:
            raise RequestError(FailureKind.BROKEN, "closed before a response", Cause.CLOSED)
        self._received += received
        try:
            while frame := take_frame(self._received):
                self._process(frame)
        except (ValueError, HPACKError) as exc:
            is_http1 = not self._has_settings and self._received.startswith(b"HTTP/1")
            reason = "the server responded with HTTP/1" if is_http1 else f"not HTTP/2: {exc}"
            raise RequestError(FailureKind.BROKEN, reason, Cause.HTTP1 if is_http1 else Cause.OTHER) from exc
        self._write(b"", attempt)

    def _process(self, frame: Frame) -> None:
        """Process one frame. Raises `ValueError`, `HPACKError` and `RequestError`."""
        if not self._has_settings and frame.kind != Kind.SETTINGS:
            raise ValueError("it begins without settings")
        match frame.kind:
            case Kind.SETTINGS:
                self._process_settings(frame)
            case Kind.DATA:
                self._process_data(frame)
            case Kind.HEADERS | Kind.CONTINUATION:
                self._process_headers(frame)
            case Kind.RST_STREAM if self._is_awaited(frame):
                reason = f"the request was reset, code {frame.numbers('>I')[0]}"
                raise RequestError(FailureKind.BROKEN, reason, Cause.CLOSED)
            case Kind.GOAWAY:
                self._process_goaway(frame)
            case Kind.PING if not frame.flags & ACK:
                self._unsent += encode_frame(Kind.PING, ACK, 0, frame.payload)
            case Kind.WINDOW_UPDATE:
                self._process_window(frame)
            case Kind.PUSH_PROMISE:
                raise ValueError("it pushes")

    def _is_awaited(self, frame: Frame) -> bool:
        """Return whether *frame* belongs to the running request."""
        return frame.stream_id == self._id and not self._response.is_complete

    def _process_settings(self, frame: Frame) -> None:
        self._has_settings = True
        if frame.flags & ACK:
            return
        initial = frame.settings().get(Setting.INITIAL_WINDOW_SIZE, self._initial_window)
        self._window += initial - self._initial_window
        self._initial_window = initial
        self._unsent += encode_frame(Kind.SETTINGS, ACK, 0)

    def _process_goaway(self, frame: Frame) -> None:
        # Requests up to that of `last_id` are still answered.
        self.is_last = True
        last_id, code = frame.numbers(">II")
        if last_id < self._id and not self._response.is_complete:
            raise RequestError(FailureKind.BROKEN, f"the server ends the connection, code {code}", Cause.CLOSED)

    def _process_window(self, frame: Frame) -> None:
        increment = frame.numbers(">I")[0]
        if frame.stream_id == 0:
            self._connection_window += increment
        elif frame.stream_id == self._id:
            self._window += increment

    def _process_data(self, frame: Frame) -> None:
        # What is not kept counts as well: the status comes after it.
        allowance = len(frame.payload).to_bytes(4, "big")
        if frame.payload:
            self._unsent += encode_frame(Kind.WINDOW_UPDATE, 0, 0, allowance)
        if self._is_awaited(frame):
            response, content = self._response, frame.content
            response.body += content[: MAX_BODY_BYTES - len(response.body)]
            response.is_complete = bool(frame.flags & END_STREAM)
            if frame.payload and not response.is_complete:
                self._unsent += encode_frame(Kind.WINDOW_UPDATE, 0, self._id, allowance)

    def _process_headers(self, frame: Frame) -> None:
        if frame.kind == Kind.HEADERS:
            self._header_block.clear()
            self._ends_with_headers = bool(frame.flags & END_STREAM)
        self._header_block += frame.content if frame.kind == Kind.HEADERS else frame.payload
        if len(self._header_block) > _MAX_HEADER_BYTES:
            raise ValueError("the headers are too long")
        if frame.flags & END_HEADERS:
            # Always decoded: the tables of both sides must agree.
            decoded = self._decoder.decode(bytes(self._header_block), raw=True)
            if self._is_awaited(frame):
                self._response.add({name.decode("latin-1"): value.decode("latin-1") for name, value in decoded})
                self._response.is_complete = self._ends_with_headers
