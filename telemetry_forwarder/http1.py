"""HTTP/1.1 framing: bytes in, messages out, whichever way they were cut. Pure; no I/O.

Serves both doors to Lambda: its answers (`lambda_api`) and its posts (`listener`). Imported before `register`,
so it leans on nothing. A body is delimited by Content-Length or by chunks, as requests are and as the Runtime
API's answers are; without either there is none. https://www.rfc-editor.org/rfc/rfc9112
"""

from telemetry_forwarder.errors import MessageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

_MAX_HEAD_BYTES = 65_536
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class Message:
    """A request or an answer, whole. Header names are in lower case."""

    __slots__ = ("body", "headers", "start_line")

    def __init__(self, start_line: str, headers: dict[str, str], body: bytes) -> None:
        self.start_line = start_line
        self.headers = headers
        self.body = body

    @property
    def status(self) -> int:
        """The status of an answer; raises `MessageError` if this is none."""
        parts = self.start_line.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise MessageError(400, "not the status line of an HTTP answer")
        return int(parts[1])

    @property
    def wants_close(self) -> bool:
        """Whether the sender will send nothing more on this connection."""
        connection = self.headers.get("connection", "").lower()
        return "close" in connection or ("HTTP/1.0" in self.start_line and "keep-alive" not in connection)


class MessageReader:
    """Takes the bytes of one connection, in any pieces, and gives the messages in them.

    Holds at most one head and one body of *max_body_bytes*, beside what one `feed` brings.
    """

    __slots__ = ("_buffer", "_max_body_bytes", "_reading", "expects_continue")

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()
        self._reading = self._read_message()
        self.expects_continue = False
        """Whether the sender waits for `100 Continue` before it sends the body."""

    def feed(self, received: bytes) -> list[Message]:
        """Take what was received; give the messages that it completes.

        Raises `MessageError`, with the status to answer, on what is no message or too large for us. After that
        the connection is of no use.
        """
        self._buffer += received
        messages = []
        while (message := next(self._reading)) is not None:
            messages.append(message)
            self._reading = self._read_message()
        return messages

    # The steps below are generators: each yields None while the bytes it needs are not there yet.

    def _read_message(self) -> "Generator[Message | None]":
        head = yield from self._until(b"\r\n\r\n", _MAX_HEAD_BYTES)
        lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
        if "HTTP/1." not in lines[0]:
            raise MessageError(400, "not HTTP/1.1")
        headers = _headers(lines[1:])
        length = _body_length(headers)
        if length > self._max_body_bytes:
            raise MessageError(413, f"a body of {length} bytes is larger than {self._max_body_bytes}")
        self.expects_continue = headers.get("expect", "").lower() == "100-continue"
        body = (yield from self._read_chunks()) if length < 0 else (yield from self._exactly(length))
        self.expects_continue = False
        yield Message(lines[0], headers, body)

    def _read_chunks(self) -> "Generator[None, None, bytes]":
        body = bytearray()
        while True:
            line = yield from self._until(b"\r\n", _MAX_HEAD_BYTES)
            size = _chunk_size(line)
            if len(body) + size > self._max_body_bytes:
                raise MessageError(413, f"the body is larger than {self._max_body_bytes} bytes")
            if size == 0:
                break
            body += yield from self._exactly(size)
            if (yield from self._exactly(2)) != b"\r\n":
                raise MessageError(400, "a chunk that is longer than it says")
        while (yield from self._until(b"\r\n", _MAX_HEAD_BYTES)):
            pass  # Trailer fields: none of them concerns us.
        return bytes(body)

    def _until(self, end: bytes, at_most: int) -> "Generator[None, None, bytes]":
        searched = 0
        while (at := self._buffer.find(end, searched)) < 0:
            self._refuse_too_much(at_most)
            searched = max(0, len(self._buffer) - len(end) + 1)
            yield None
        return self._take(at, and_drop=len(end))

    def _exactly(self, count: int) -> "Generator[None, None, bytes]":
        while len(self._buffer) < count:
            yield None
        return self._take(count)

    def _take(self, count: int, *, and_drop: int = 0) -> bytes:
        with memoryview(self._buffer) as view:
            taken = bytes(view[:count])
        del self._buffer[: count + and_drop]
        return taken

    def _refuse_too_much(self, at_most: int) -> None:
        if len(self._buffer) > at_most:
            raise MessageError(431, "the head is too large")


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise MessageError(400, "a header line without a name")
        name, value = name.lower(), value.strip()
        if name in _FRAMING and headers.get(name, value) != value:
            raise MessageError(400, f"two values for {name}")
        headers[name] = value
    return headers


def _body_length(headers: dict[str, str]) -> int:
    """Bytes of the body; -1 if it comes in chunks."""
    encoding = headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length", "")
    if encoding:
        # Both at once is how requests are smuggled: RFC 9112, 6.3.
        if encoding != "chunked" or length:
            raise MessageError(400, "a transfer encoding that we do not take")
        return -1
    if not length:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise MessageError(400, "Content-Length is not a number")
    return int(length)


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    if not digits or len(digits) > 8 or not _HEX_DIGITS.issuperset(digits):
        raise MessageError(400, "not the size of a chunk")
    return int(digits, 16)
