"""Reads the response to one request, as far as it is received. No I/O.

As lenient as `http1.MessageReader` is strict: an endpoint that responds 200 has accepted the request, however odd the
rest of its response is, and would receive it again if that counted as no response. Nothing else reads from the
connection, so a misread response costs at most its body. After anything odd the connection is not used again.
"""

import re
from collections.abc import Generator

from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.http1 import Buffer, Message, take_chunk_size

_PREFIX = b"HTTP/"
_STATUS_LINE = re.compile(r"HTTP/(\d\.\d) +([1-9]\d\d)(?!\d).*", re.ASCII)
_LENGTH = re.compile(r"(\d{1,15})(?:[ \t]*,[ \t]*\1)*", re.ASCII)
_SWITCHING_PROTOCOLS = 101
# These have no body, whatever their head contains: RFC 9112, 6.3.
_WITHOUT_BODY = frozenset({204, 304})


class ResponseReader:
    """Reads one response, and skips the interim responses before it.

    Without a length the body ends with the connection. Of a longer body only *max_body_bytes* are read.
    """

    __slots__ = ("_body", "_buffer", "_head", "_max_body_bytes", "_reading", "ends_with_connection", "is_last")

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = Buffer()
        self._head: Message | None = None
        self._body = bytearray()
        self._reading = self._read()
        self.is_last = True
        """Whether the connection cannot be used for another request."""
        self.ends_with_connection = False
        """Whether the end of the connection is the end of the body."""

    def feed(self, received: bytes) -> Message | None:
        """Add what was received; return the response when it is complete. Raises `MessageError`."""
        self._buffer.add(received)
        return next(self._reading)

    def received_part(self) -> Message | None:
        """Return the response with as much of it as was received; None if its status was not."""
        return self._head and Message(self._head.start_line, self._head.headers, bytes(self._body))

    def _read(self) -> Generator[Message | None]:
        status, head = yield from self._read_head()
        is_usable = status in _WITHOUT_BODY or (yield from self._read_body(head.headers))
        self.is_last = not is_usable or head.wants_close or len(self._buffer) > 0
        yield self.received_part()

    def _read_head(self) -> Generator[None, None, tuple[int, Message]]:
        """Read up to the end of the head that is not an interim response's; return the status and the head."""
        while True:
            yield from self._buffer.first_bytes(1)
            # Nearly always the head is received as a whole.
            lines = self._buffer.take_whole_head()
            head = _status(lines[0] if lines else (yield from self._status_line()))
            status = head.status
            is_final = status >= 200 or status == _SWITCHING_PROTOCOLS
            if is_final:
                # Kept before the rest is read: whatever that contains, the status is known.
                self._head = head
            name = ""
            for line in lines[1:]:
                name = _add_header(head.headers, line, name)
            while not lines and (line := (yield from self._loose_line())):
                name = _add_header(head.headers, line, name)
            if is_final:
                return status, head

    def _status_line(self) -> Generator[None, None, str]:
        self._buffer.begin_lines()
        line = ""
        while not line:
            first = yield from self._buffer.first_bytes(len(_PREFIX))
            while first != _PREFIX and _PREFIX.startswith(first):
                yield None
                first = yield from self._buffer.first_bytes(len(_PREFIX))
            # Something else than HTTP may have no end of a line.
            if first[0] not in b"\r\n" and first != _PREFIX:
                raise MessageError(400, "not HTTP")
            line = yield from self._loose_line()
        return line

    def _loose_line(self) -> Generator[None, None, str]:
        """Read a line that may end without a carriage return."""
        return (yield from self._buffer.take_to_newline()).decode("latin-1").rstrip("\r\n")

    def _read_body(self, headers: dict[str, str]) -> Generator[None, None, bool]:
        """Read the body; return whether the connection can be used again."""
        coding = headers.get("transfer-encoding", "").lower()
        length = _LENGTH.fullmatch(headers.get("content-length", ""))
        if coding.endswith("chunked"):
            is_whole = yield from self._read_chunks()
            # Both headers at once make request smuggling possible: RFC 9112, 6.3.
            return is_whole and coding == "chunked" and "content-length" not in headers
        if coding or length is None:
            self.ends_with_connection = True
            yield from self._read_block(self._max_body_bytes)
            return False
        yield from self._read_block(int(length[1]))
        return int(length[1]) <= self._max_body_bytes

    def _read_chunks(self) -> Generator[None, None, bool]:
        """Read a chunked body; return whether it was read to its end."""
        while size := (yield from self._chunk_size()):
            yield from self._read_block(size)
            if len(self._body) == self._max_body_bytes or (yield from self._buffer.take_line()):
                return False
        while (yield from self._buffer.take_line()):
            pass  # The trailer fields.
        return True

    def _chunk_size(self) -> Generator[None, None, int]:
        if (yield from self._buffer.first_bytes(1)) == b"<":
            # Its first character is enough to recognise a page; what of it has arrived depends on the network.
            self._body += b"<"
            raise MessageError(400, "a page instead of chunks")
        return (yield from take_chunk_size(self._buffer))

    def _read_block(self, size: int) -> Generator[None]:
        end = min(len(self._body) + size, self._max_body_bytes)
        while len(self._body) < end:
            yield from self._buffer.first_bytes(1)
            count = min(end - len(self._body), len(self._buffer))
            self._body += yield from self._buffer.take_exactly(count)


def _status(line: str) -> Message:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MessageError(400, "not HTTP")
    # Other versions have other rules on when a connection is closed: 1.0 closes it by default.
    return Message(f"HTTP/{'1.1' if match[1] == '1.1' else '1.0'} {match[2]}", {}, b"")


def _add_header(headers: dict[str, str], line: str, last_name: str) -> str:
    """Add one header line; return the name that a folded continuation would extend."""
    if line[0] in " \t":
        # Obsolete, but some servers send it: RFC 9112, 5.2.
        headers[last_name] = f"{headers.get(last_name, '')} {line.strip()}"
        return last_name
    name, _, value = line.partition(":")
    name, value = name.strip().lower(), value.strip()
    headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return name
