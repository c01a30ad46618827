"""HTTP/1.1 framing: bytes in, messages out, whichever way they were cut. Pure; no I/O.

Serves both doors to Lambda: its answers (`lambda_api`) and its posts (`listener`). Imported before `register`,
so it leans on nothing. A body is delimited by Content-Length or by chunks, as requests are and as the Runtime
API's answers are; without either there is none. https://www.rfc-editor.org/rfc/rfc9112
"""

from telemetry_forwarder.errors import MessageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

MAX_HEAD_BYTES = 65_536
_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")
_FIRST = _TOKEN | {"\r", "\n"}
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


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
        version, _, rest = self.start_line.partition(" ")
        if version not in _VERSIONS:
            raise MessageError(400, "not the status line of an HTTP answer")
        return int(rest[:3])

    @property
    def wants_close(self) -> bool:
        """Whether the sender will send nothing more on this connection."""
        connection = self.headers.get("connection", "").lower()
        is_old = self.start_line.startswith("HTTP/1.0 ") or self.start_line.endswith(" HTTP/1.0")
        return "close" in connection or (is_old and "keep-alive" not in connection)


class MessageReader:
    """Takes the bytes of one connection, in any pieces, and gives the messages in them.

    Holds at most one head and one body of *max_body_bytes*, beside what one `feed` brings.
    """

    __slots__ = (
        "_buffer",
        "_chunks_bytes",
        "_head_bytes_left",
        "_max_body_bytes",
        "_reading",
        "expects_continue",
    )

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._head_bytes_left = 0
        self._buffer = bytearray()
        self._chunks_bytes = 0
        self._reading = self._read_message()
        self.expects_continue = False
        """Whether the sender waits for `100 Continue` before it sends the body. Whoever answers it resets it."""

    @property
    def held_bytes(self) -> int:
        """What has been received of a message that is not whole."""
        return len(self._buffer) + self._chunks_bytes

    def feed(self, received: bytes) -> "Iterator[Message]":
        """Take what was received; give the messages that it completes, each as soon as it is whole.

        Raises `MessageError`, with the status to answer, on what is no message or too large for us. After that
        the connection is of no use.
        """
        self._buffer += received
        return self._messages()

    def _messages(self) -> "Iterator[Message]":
        while (message := next(self._reading)) is not None:
            self._reading = self._read_message()
            yield message

    # The steps below are generators: each yields None while the bytes it needs are not there yet.

    def _read_message(self) -> "Generator[Message | None]":
        start_line, headers = yield from self._read_head()
        length = _body_length(headers)
        if length > self._max_body_bytes:
            raise MessageError(413, f"a body of {length} bytes is larger than {self._max_body_bytes}")
        self.expects_continue = headers.get("expect", "").lower() == "100-continue"
        body = (yield from self._read_chunks()) if length < 0 else (yield from self._exactly(length))
        self.expects_continue = False
        yield Message(start_line, headers, body)

    def _read_head(self) -> "Generator[None, None, tuple[str, dict[str, str]]]":
        while not self._buffer:
            yield None
        lines = self._whole_head() or (yield from self._head_by_lines())
        headers: dict[str, str] = {}
        for line in lines[1:]:
            _add_header(headers, line)
        return lines[0], headers

    def _whole_head(self) -> list[str]:
        """The lines of a head that is there in one piece, with nothing odd about it; else none, and none is taken."""
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 1:
            return []
        head = self._buffer[:end].decode("latin-1")
        lines = head.split("\r\n")
        is_odd = head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1 or "\0" in head
        if is_odd or not _is_start_line(lines[0]):
            return []
        del self._buffer[: end + 4]
        return lines

    def _head_by_lines(self) -> "Generator[None, None, list[str]]":
        self._head_bytes_left = MAX_HEAD_BYTES
        yield from self._refuse_what_cannot_begin_a_message()
        # Empty lines before a message are forgiven: RFC 9112, 2.2.
        while not (start_line := (yield from self._line())):
            yield from self._refuse_what_cannot_begin_a_message()
        if not _is_start_line(start_line):
            raise MessageError(400, "not HTTP/1.1")
        lines = [start_line]
        while line := (yield from self._line()):
            lines.append(line)
        return lines

    def _refuse_what_cannot_begin_a_message(self) -> "Generator[None]":
        # A TLS client says hello and then waits for us: there may never be an end of its first line.
        while not self._buffer:
            yield None
        if chr(self._buffer[0]) not in _FIRST:
            raise MessageError(400, "not HTTP")

    def _read_chunks(self) -> "Generator[None, None, bytes]":
        body = bytearray()
        while size := chunk_size((yield from self._chunk_line())):
            if len(body) + size > self._max_body_bytes:
                raise MessageError(413, f"the body is larger than {self._max_body_bytes} bytes")
            body += yield from self._exactly(size)
            self._chunks_bytes = len(body)
            if (yield from self._chunk_line()):
                raise MessageError(400, "a chunk that is longer than it says")
        self._head_bytes_left = MAX_HEAD_BYTES
        while (yield from self._line()):
            pass  # Trailer fields: none of them concerns us.
        self._chunks_bytes = 0
        return bytes(body)

    def _chunk_line(self) -> "Generator[None, None, str]":
        self._head_bytes_left = MAX_HEAD_BYTES
        return (yield from self._line())

    def _line(self) -> "Generator[None, None, str]":
        """The next line, without its end. A newline alone is no end, nor is anything else of that kind a part.

        Two readers that disagree on where a line ends is how requests are smuggled: RFC 9112, 11.2.
        """
        line = yield from self._up_to_newline()
        if line[-2:] != b"\r\n" or b"\r" in line[:-2] or b"\0" in line:
            raise MessageError(400, "a line that does not end as HTTP's do")
        return line[:-2].decode("latin-1")

    def _up_to_newline(self) -> "Generator[None, None, bytes]":
        searched = 0
        while (at := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._refuse_beyond(searched)
            yield None
        self._refuse_beyond(at)
        self._head_bytes_left -= at + 1
        return self._take(at + 1)

    def _exactly(self, count: int) -> "Generator[None, None, bytes]":
        while len(self._buffer) < count:
            yield None
        return self._take(count)

    def _take(self, count: int) -> bytes:
        with memoryview(self._buffer) as view:
            taken = bytes(view[:count])
        del self._buffer[:count]
        return taken

    def _refuse_beyond(self, count: int) -> None:
        if count >= self._head_bytes_left:
            raise MessageError(431, "the head is too large")


def _is_start_line(line: str) -> bool:
    first, _, rest = line.partition(" ")
    if first in _VERSIONS:
        status = rest[:3]
        return len(status) == 3 and status.isascii() and status.isdigit() and rest[3:4] in ("", " ")
    target, _, version = rest.partition(" ")
    return version in _VERSIONS and target != "" and first != "" and _TOKEN.issuperset(first)


def _add_header(headers: dict[str, str], line: str) -> None:
    name, colon, value = line.partition(":")
    # Also refuses a space before the colon, and a line that continues the one before: RFC 9112, 5.1 and 5.2.
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
    """Bytes of the body; -1 if it comes in chunks."""
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if encoding is not None:
        # Both at once is how requests are smuggled: RFC 9112, 6.3.
        if encoding.lower() != "chunked" or length is not None:
            raise MessageError(400, "a transfer encoding that we do not take")
        return -1
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise MessageError(400, "Content-Length is not a number")
    return int(length)


def chunk_size(line: str) -> int:
    digits = line.partition(";")[0].strip(" \t")
    if not digits or len(digits) > 16 or not _HEX_DIGITS.issuperset(digits.encode("latin-1")):
        raise MessageError(400, "not the size of a chunk")
    return int(digits, 16)
