"""Reads the answer to one request, as far as it comes. Pure; no I/O.

As lenient as `http1` is strict: an endpoint that says 200 has taken what it was given, however odd the rest of its
answer is, and would get all of it again if that counted as no answer. Nobody else reads from the connection, so to read
an answer wrongly costs at most its body. After anything odd the connection is not used again.
"""

import re
from collections.abc import Generator

from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.http1 import MAX_HEAD_BYTES, Message, MessageReader, chunk_size

_PREFIX = b"HTTP/"
_STATUS_LINE = re.compile(r"HTTP/(\d\.\d) +([1-9]\d\d)(?!\d).*", re.ASCII)
_LENGTH = re.compile(r"(\d{1,15})(?:[ \t]*,[ \t]*\1)*", re.ASCII)
_SWITCHES = 101
# They have no body, whatever their head says: RFC 9112, 6.3.
_WITHOUT_BODY = frozenset({204, 304})


class ResponseReader(MessageReader):
    """Takes the bytes of one answer, in any pieces. Those before it that only announce it are passed over.

    Without a length its body ends with the connection. Of a body that is longer than wanted, the beginning is read.
    """

    __slots__ = ("_body", "_head", "is_last")

    def __init__(self, max_body_bytes: int) -> None:
        super().__init__(max_body_bytes)
        self._head: Message | None = None
        self._body = bytearray()
        self.is_last = True
        """Whether the connection is of no use for another request."""

    def so_far(self) -> Message | None:
        """The answer, now that nothing more comes, with as much of it as came; None where there is no status."""
        return None if self._head is None else self._answer(self._head)

    def _answer(self, head: Message) -> Message:
        return Message(head.start_line, head.headers, bytes(self._body))

    def _read_message(self) -> Generator[Message | None]:
        is_final = False
        while not is_final:
            while not self._buffer:
                yield None
            # Nearly always it is there in one piece.
            lines = self._whole_head()
            head = _status(lines[0] if lines else (yield from self._status_line()))
            is_final = head.status >= 200 or head.status == _SWITCHES
            if is_final:
                # From here on there is an answer, whatever happens.
                self._head = head
            name = ""
            for line in lines[1:]:
                name = _add_header(head.headers, line, name)
            while not lines and (line := (yield from self._loose_line())):
                name = _add_header(head.headers, line, name)
        goes_on = head.status in _WITHOUT_BODY or (yield from self._read_body(head.headers))
        self.is_last = not goes_on or head.wants_close or bool(self._buffer)
        yield self._answer(head)

    def _status_line(self) -> Generator[None, None, str]:
        self._head_bytes_left = MAX_HEAD_BYTES
        line = ""
        while not line:
            while not self._buffer:
                yield None
            # What is no HTTP may have no end of a line.
            if self._buffer[0] not in b"\r\n" and not _PREFIX.startswith(self._buffer[: len(_PREFIX)]):
                raise MessageError(400, "not HTTP")
            line = yield from self._loose_line()
        return line

    def _loose_line(self) -> Generator[None, None, str]:
        """The next line, which a newline ends."""
        return (yield from self._up_to_newline()).decode("latin-1").rstrip("\r\n")

    def _read_body(self, headers: dict[str, str]) -> Generator[None, None, bool]:
        """Read it; gives whether the connection goes on behind it."""
        coding = headers.get("transfer-encoding", "").lower()
        length = _LENGTH.fullmatch(headers.get("content-length", ""))
        if coding.endswith("chunked"):
            # Both at once is how requests are smuggled: RFC 9112, 6.3.
            return (
                (yield from self._read_pieces()) and coding == "chunked" and "content-length" not in headers
            )
        if coding or length is None:
            yield from self._read_piece(self._max_body_bytes)
            return False
        yield from self._read_piece(int(length[1]))
        return int(length[1]) <= self._max_body_bytes

    def _read_pieces(self) -> Generator[None, None, bool]:
        while size := chunk_size((yield from self._chunk_line())):
            yield from self._read_piece(size)
            if len(self._body) == self._max_body_bytes or (yield from self._chunk_line()):
                return False
        while (yield from self._line()):
            pass  # Trailer fields: none of them concerns us.
        return True

    def _read_piece(self, size: int) -> Generator[None]:
        end = min(len(self._body) + size, self._max_body_bytes)
        while len(self._body) < end:
            while not self._buffer:
                yield None
            self._body += self._take(min(end - len(self._body), len(self._buffer)))


def _status(line: str) -> Message:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MessageError(400, "not HTTP")
    # Of any other version we do not know when it closes a connection.
    return Message(f"HTTP/{'1.1' if match[1] == '1.1' else '1.0'} {match[2]}", {}, b"")


def _add_header(headers: dict[str, str], line: str, last_name: str) -> str:
    """Add what *line* says; gives the name that a line which goes on would go on with."""
    if line[0] in " \t":
        # As it was allowed to: RFC 9112, 5.2.
        headers[last_name] = f"{headers.get(last_name, '')} {line.strip()}"
        return last_name
    name, _, value = line.partition(":")
    name, value = name.strip().lower(), value.strip()
    headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return name
