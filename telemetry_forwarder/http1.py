"""Reads HTTP/1.1 messages from the bytes of a connection, however they were divided. No I/O.

For Lambda's responses (`lambda_api`) and posts (`listener`), and responses of endpoints (`transport.response_reader`).
Imported before `register`: imports next to nothing.
A body has a Content-Length or comes in chunks, or there is none. https://www.rfc-editor.org/rfc/rfc9112
"""

from telemetry_forwarder.errors import MessageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

MAX_HEAD_BYTES = 65_536
_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")
_FIRST = frozenset("".join(_TOKEN).encode() + b"\r\n")
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class Message:
    """A complete request or response. Header names are in lower case."""

    __slots__ = ("body", "headers", "start_line")

    def __init__(self, start_line: str, headers: dict[str, str], body: bytes) -> None:
        self.start_line = start_line
        self.headers = headers
        self.body = body

    @property
    def status(self) -> int:
        """The status of a response; raises `MessageError` if this is a request."""
        version, _, rest = self.start_line.partition(" ")
        if version not in _VERSIONS:
            raise MessageError(400, "not the status line of an HTTP response")
        return int(rest[:3])

    @property
    def wants_close(self) -> bool:
        """Whether the sender will send nothing more on this connection."""
        connection = self.headers.get("connection", "").lower()
        is_old = self.start_line.startswith("HTTP/1.0 ") or self.start_line.endswith(" HTTP/1.0")
        return "close" in connection or (is_old and "keep-alive" not in connection)


class Buffer:
    """The bytes that were received and not read yet.

    Each step of reading is a generator that yields None as long as bytes are missing, here and in the readers.
    Raises `MessageError` if the lines of one head are longer than `MAX_HEAD_BYTES`.
    """

    __slots__ = ("_bytes", "_line_bytes_left")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._line_bytes_left = MAX_HEAD_BYTES

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, received: bytes) -> None:
        self._bytes += received

    def first_bytes(self, count: int) -> "Generator[None, None, bytearray]":
        """Wait for at least one byte; return up to *count*, and leave them in the buffer."""
        while not self._bytes:
            yield None
        return self._bytes[:count]

    def take_whole_head(self) -> list[str]:
        """Take a head that is complete and regular, and return its lines; else take nothing and return []."""
        end = self._bytes.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 1:
            return []
        head = self._bytes[:end].decode("latin-1")
        lines = head.split("\r\n")
        is_odd = head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1 or "\0" in head
        if is_odd or not _is_start_line(lines[0]):
            return []
        del self._bytes[: end + 4]
        return lines

    def begin_lines(self) -> None:
        """Permit `MAX_HEAD_BYTES` of lines from here on."""
        self._line_bytes_left = MAX_HEAD_BYTES

    def take_line(self) -> "Generator[None, None, str]":
        r"""Take the next line; return it without its CRLF. Raises `MessageError` if it contains \r, \n or \0.

        Two readers that disagree on where a line ends make request smuggling possible: RFC 9112, 11.2.
        """
        line = yield from self.take_to_newline()
        if line[-2:] != b"\r\n" or b"\r" in line[:-2] or b"\0" in line:
            raise MessageError(400, "a line that does not end with CRLF alone")
        return line[:-2].decode("latin-1")

    def take_to_newline(self) -> "Generator[None, None, bytes]":
        """Take everything up to the next newline, and that."""
        searched = 0
        while (at := self._bytes.find(b"\n", searched)) < 0:
            searched = len(self._bytes)
            self._refuse_beyond(searched)
            yield None
        self._refuse_beyond(at)
        self._line_bytes_left -= at + 1
        return (yield from self.take_exactly(at + 1))

    def take_exactly(self, count: int) -> "Generator[None, None, bytes]":
        while len(self._bytes) < count:
            yield None
        with memoryview(self._bytes) as view:
            taken = bytes(view[:count])
        del self._bytes[:count]
        return taken

    def _refuse_beyond(self, count: int) -> None:
        if count >= self._line_bytes_left:
            raise MessageError(431, "the head is too large")


class MessageReader:
    """Reads the messages of one connection. Strict: ambiguous bytes are an error.

    Holds at most one head and one body of *max_body_bytes*, and what one `feed` adds.
    """

    __slots__ = ("_buffer", "_chunks_bytes", "_max_body_bytes", "_reading", "expects_continue")

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = Buffer()
        self._chunks_bytes = 0
        self._reading = self._read_message()
        self.expects_continue = False
        """Whether the sender waits for `100 Continue` before it sends the body. Reset it when that is sent."""

    @property
    def held_bytes(self) -> int:
        """Bytes received of a message that is not complete."""
        return len(self._buffer) + self._chunks_bytes

    def feed(self, received: bytes) -> "Iterator[Message]":
        """Add what was received, and yield each message that it completes.

        Raises `MessageError` if it is not HTTP or too large. After that the connection cannot be used.
        """
        self._buffer.add(received)
        while (message := next(self._reading)) is not None:
            self._reading = self._read_message()
            yield message

    def _read_message(self) -> "Generator[Message | None]":
        start_line, headers = yield from self._read_head()
        if (length := _body_length(headers)) > self._max_body_bytes:
            raise MessageError(413, f"a body of {length} bytes is larger than {self._max_body_bytes}")
        self.expects_continue = headers.get("expect", "").lower() == "100-continue"
        body = yield from (self._read_chunks() if length < 0 else self._buffer.take_exactly(length))
        self.expects_continue = False
        yield Message(start_line, headers, body)

    def _read_head(self) -> "Generator[None, None, tuple[str, dict[str, str]]]":
        yield from self._expect_message()
        lines = self._buffer.take_whole_head() or (yield from self._head_by_lines())
        headers: dict[str, str] = {}
        for line in lines[1:]:
            _add_header(headers, line)
        return lines[0], headers

    def _head_by_lines(self) -> "Generator[None, None, list[str]]":
        self._buffer.begin_lines()
        # Empty lines before a message are ignored: RFC 9112, 2.2.
        while not (start_line := (yield from self._buffer.take_line())):
            yield from self._expect_message()
        if not _is_start_line(start_line):
            raise MessageError(400, "not HTTP/1.1")
        lines = [start_line]
        while line := (yield from self._buffer.take_line()):
            lines.append(line)
        return lines

    def _expect_message(self) -> "Generator[None]":
        # A TLS client sends its hello and then waits for us: its first line may never end.
        if (yield from self._buffer.first_bytes(1))[0] not in _FIRST:
            raise MessageError(400, "not HTTP")

    def _read_chunks(self) -> "Generator[None, None, bytes]":
        body = bytearray()
        while size := (yield from take_chunk_size(self._buffer)):
            if len(body) + size > self._max_body_bytes:
                raise MessageError(413, f"the body is larger than {self._max_body_bytes} bytes")
            body += yield from self._buffer.take_exactly(size)
            self._chunks_bytes = len(body)
            if (yield from self._buffer.take_line()):
                raise MessageError(400, "a chunk is longer than its size")
        while (yield from self._buffer.take_line()):
            pass  # The trailer fields.
        self._chunks_bytes = 0
        return bytes(body)


def take_chunk_size(buffer: Buffer) -> "Generator[None, None, int]":
    """Take the line before a chunk and return its size. Permits the lines after the chunk, too."""
    buffer.begin_lines()
    digits = (yield from buffer.take_line()).partition(";")[0].strip(" \t")
    if not digits or len(digits) > 16 or not _HEX_DIGITS.issuperset(digits.encode("latin-1")):
        raise MessageError(400, "not the size of a chunk")
    buffer.begin_lines()
    return int(digits, 16)


def _is_start_line(line: str) -> bool:
    first, _, rest = line.partition(" ")
    if first in _VERSIONS:
        status = rest[:3]
        return len(status) == 3 and status.isascii() and status.isdigit() and rest[3:4] in ("", " ")
    target, _, version = rest.partition(" ")
    return version in _VERSIONS and target != "" and first != "" and _TOKEN.issuperset(first)


def _add_header(headers: dict[str, str], line: str) -> None:
    name, colon, value = line.partition(":")
    # Also refuses a space before the colon, and a folded line: RFC 9112, 5.1 and 5.2.
    if not colon or not name or not _TOKEN.issuperset(name):
        raise MessageError(400, "a header line without a name")
    name, value = name.lower(), value.strip(" \t")
    if name not in headers:
        headers[name] = value
    elif name == "transfer-encoding" or (name == "content-length" and headers[name] != value):
        raise MessageError(400, f"two values for {name}")
    elif name != "content-length":
        headers[name] += f", {value}"


def _body_length(headers: dict[str, str]) -> int:
    """Return the length of the body in bytes; -1 if it comes in chunks."""
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if encoding is not None:
        # Both headers at once make request smuggling possible: RFC 9112, 6.3.
        if encoding.lower() != "chunked" or length is not None:
            raise MessageError(400, "a transfer encoding that is not supported")
        return -1
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise MessageError(400, "Content-Length is not a number")
    return int(length)
