"""Reads the answer to one request, as far as it comes. Pure; no I/O."""

from collections.abc import Generator

from telemetry_forwarder.http1 import Message, MessageReader, body_length, chunk_size

# They have no body, whatever their head says: RFC 9112, 6.3.
_WITHOUT_BODY = frozenset({204, 304})


class AnswerReader(MessageReader):
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
        """The answer, now that nothing more comes, with as much of its body as came; None where there is none."""
        return None if self._head is None else self._answer(self._head)

    def _answer(self, head: Message) -> Message:
        return Message(head.start_line, head.headers, bytes(self._body))

    def _read_message(self) -> Generator[Message | None]:
        head = yield from self._read_answer_head()
        while head.status < 200:
            head = yield from self._read_answer_head()
        self._head = head
        is_whole = head.status in _WITHOUT_BODY or (yield from self._read_body(head.headers))
        self.is_last = not is_whole or head.wants_close or bool(self._buffer)
        yield self._answer(head)

    def _read_answer_head(self) -> Generator[None, None, Message]:
        start_line, headers = yield from self._read_head()
        return Message(start_line, headers, b"")

    def _read_body(self, headers: dict[str, str]) -> Generator[None, None, bool]:
        """Read it; gives whether it is whole, and the connection goes on behind it."""
        length = body_length(headers)
        if length < 0:
            return (yield from self._read_pieces())
        has_end = "content-length" in headers
        yield from self._read_piece(length if has_end else self._max_body_bytes)
        return has_end and length <= self._max_body_bytes

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
