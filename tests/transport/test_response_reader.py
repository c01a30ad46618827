"""Responses that are received in any pieces, complete or not. The oracle is h11."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.http1 import Message
from telemetry_forwarder.transport.response_reader import ResponseReader

LIMIT = 100
ENDED = b""
Parts = tuple[int, bytes, bool]

WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
IN_CHUNKS = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: t\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WITH_LENGTH
WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\n\r\nhello"
EMPTY = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"


def parts(message: Message | None, reader: ResponseReader) -> Parts | None:
    return (message.status, message.body, reader.is_last) if message else None


def read(*pieces: bytes) -> Parts | None:
    """Return status, body and whether the connection is used up. `ENDED` is the end of the connection."""
    reader = ResponseReader(LIMIT)
    for piece in pieces:
        if piece == ENDED:
            return parts(reader.received_part(), reader)
        if response := reader.feed(piece):
            return parts(response, reader)
    return None


def whole(stream: bytes) -> Parts | None:
    return read(stream, ENDED)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(WITH_LENGTH, (200, b"hello", False), id="length"),
        pytest.param(IN_CHUNKS, (503, b"hello", False), id="chunks"),
        pytest.param(INTERIM, (200, b"hello", False), id="interim responses"),
        pytest.param(WITHOUT_LENGTH, (200, b"hello", True), id="ends with the connection"),
        pytest.param(EMPTY, (204, b"", False), id="status without body"),
        pytest.param(WITH_LENGTH + b"H", (200, b"hello", True), id="more than one response"),
        pytest.param(WITH_LENGTH.replace(b": 5", b": 0"), (200, b"", True), id="unexpected body"),
        pytest.param(WITH_LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0"), (200, b"hello", True), id="HTTP/1.0"),
        pytest.param(
            WITH_LENGTH.replace(b"Content-Type: text/plain", b"Connection: Close"),
            (200, b"hello", True),
            id="will be closed",
        ),
        pytest.param(WITH_LENGTH.replace(b": 5", b": 9"), (200, b"hello", True), id="cut"),
        pytest.param(IN_CHUNKS[:-17], (503, b"hello", True), id="chunks that are cut"),
        pytest.param(
            b"HTTP/1.1 400 No\r\nContent-Length: 300\r\n\r\n" + b"x" * 300, (400, b"x" * LIMIT, True), id="long"
        ),
        pytest.param(
            b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n" + b"x" * 300,
            (400, b"x" * LIMIT, True),
            id="long chunk",
        ),
        pytest.param(b"HTTP/1.1 400 No\r\n\r\n" + b"x" * 300, (400, b"x" * LIMIT, True), id="long, no length"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", (200, b"hello", False), id="newlines alone"),
        pytest.param(WITH_LENGTH.replace(b"text", b"text\r\n x:"), (200, b"hello", False), id="folded line"),
        pytest.param(b" X\r\n".join(WITH_LENGTH.split(b"Content-T")), (200, b"hello", False), id="odd lines"),
        pytest.param(WITH_LENGTH.replace(b"HTTP/1.1", b"HTTP/2.0"), (200, b"hello", True), id="other version"),
        pytest.param(WITH_LENGTH.replace(b": 5", b": 5, 5"), (200, b"hello", False), id="repeated length"),
        pytest.param(WITH_LENGTH.replace(b": 5", b": 5, 4"), (200, b"hello", True), id="two lengths"),
        pytest.param(WITH_LENGTH.replace(b": 5", b": -5"), (200, b"hello", True), id="no number"),
        pytest.param(WITH_LENGTH.replace(b": 5", b": 5" + b"0" * 20), (200, b"hello", True), id="huge number"),
        pytest.param(
            IN_CHUNKS.replace(b"\r\n\r\n3", b"\r\nContent-Length: 1\r\n\r\n3"),
            (503, b"hello", True),
            id="length and chunks",
        ),
        pytest.param(IN_CHUNKS.replace(b": ch", b": gzip, ch"), (503, b"hello", True), id="two codings"),
        pytest.param(
            WITH_LENGTH.replace(b"Content-Type", b"Transfer-Encoding"), (200, b"hello", True), id="another coding"
        ),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\nhello", (101, b"hello", True), id="not HTTP any more"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", (200, b"", True), id="head that is cut"),
        pytest.param(b"HTTP/1.1 200", None, id="no status"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", None, id="only an interim response"),
        pytest.param(ENDED, None, id="nothing"),
    ],
)
def test_response(stream: bytes, expected: Parts | None) -> None:
    assert whole(stream) == expected


@pytest.mark.parametrize("stream", [WITH_LENGTH, IN_CHUNKS, INTERIM, WITHOUT_LENGTH])
def test_response_is_the_same_however_it_is_divided(stream: bytes) -> None:
    expected = whole(stream)

    assert all(read(stream[:at] or b" "[:0], stream[at:], ENDED) == expected for at in range(1, len(stream)))
    assert read(*(bytes([byte]) for byte in stream), ENDED) == expected


@pytest.mark.parametrize(
    "stream",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"\x15\x03\x01\x00\x02",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 " + b"x" * 70_000,
    ],
)
def test_other_data_is_an_error(stream: bytes) -> None:
    with pytest.raises(MessageError):
        read(stream)


@pytest.mark.parametrize("parts", [(b"H", b"ello"), (b"HTT", b"\n"), (b"\r\nHTTP", b"S/1.1")])
def test_other_data_that_begins_like_http_is_an_error_before_its_line_ends(parts: tuple[bytes, bytes]) -> None:
    reader = ResponseReader(LIMIT)

    assert reader.feed(parts[0]) is None
    with pytest.raises(MessageError):
        reader.feed(parts[1])


def test_status_is_known_if_the_head_never_ends() -> None:
    reader = ResponseReader(LIMIT)

    with pytest.raises(MessageError):
        reader.feed(b"HTTP/1.1 429 No\r\nRetry-After: 3\r\nX: " + b"x" * 70_000)

    response = reader.received_part()
    assert response is not None
    assert (response.status, response.headers, reader.is_last) == (429, {"retry-after": "3"}, True)


def test_status_is_known_if_the_body_is_malformed() -> None:
    reader = ResponseReader(LIMIT)

    with pytest.raises(MessageError):
        reader.feed(IN_CHUNKS.replace(b"2;x=y", b"nonsense"))

    assert parts(reader.received_part(), reader) == (503, b"hel", True)


@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=LIMIT - 1),
    in_chunks=st.booleans(),
    keeps=st.booleans(),
    sizes=st.lists(st.integers(1, 40), min_size=1),
)
def test_responses_of_h11_are_read(status: int, body: bytes, in_chunks: bool, keeps: bool, sizes: list[int]) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    while server.next_event() is not h11.PAUSED and server.their_state is not h11.DONE:
        pass
    headers = [("X-Name", "value")]
    headers += [("Transfer-Encoding", "chunked") if in_chunks else ("Content-Length", str(len(body)))]
    headers += [] if keeps else [("Connection", "close")]
    has_body = status not in (204, 304)
    sent = server.send(h11.Response(status_code=status, headers=headers)) or b""
    sent += (server.send(h11.Data(body)) or b"") if has_body else b""
    if has_body or in_chunks:
        sent += server.send(h11.EndOfMessage()) or b""
    pieces, at = [], 0
    for size in sizes * len(sent):
        pieces.append(sent[at : at + size])
        at += size
        if at >= len(sent):
            break

    assert read(*pieces) == (status, body if has_body else b"", not keeps)


@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize(("chunks", "body"), [(b"", b"<"), (b"3\r\nabc\r\n", b"abc<")])
def test_page_instead_of_chunks_begins_the_body_however_it_is_divided(chunks: bytes, body: bytes, step: int) -> None:
    reader = ResponseReader(100)
    received = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"<html>"

    pieces = [received[at : at + step] for at in range(0, len(received), step)]

    with pytest.raises(MessageError, match="a page instead of chunks"):
        list(map(reader.feed, pieces))

    part = reader.received_part()
    assert part is not None
    assert part.body == body
