from collections.abc import Iterable
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.errors import MessageError
from telemetry_forwarder.http1 import Message, MessageReader

LIMIT = 1_000
Parts = tuple[str, dict[str, str], bytes]

POST = b"POST /path HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b'5;name=value;other="quoted"\r\nhello\r\n1 \r\n,\r\n0006\r\n world\r\n0\r\nTrailer: ignored\r\n\r\n'
)
ANSWER = b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id \r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"\r\n" + POST + CHUNKED + b"GET / HTTP/1.0\r\n\r\n" + b"\r\n\r\n" + ANSWER
MESSAGES: list[Parts] = [
    ("POST /path HTTP/1.1", {"host": "h", "content-length": "5"}, b"hello"),
    ("PUT / HTTP/1.1", {"transfer-encoding": "Chunked"}, b"hello, world"),
    ("GET / HTTP/1.0", {}, b""),
    ("HTTP/1.1 200 OK", {"lambda-extension-identifier": "id", "content-length": "2"}, b"{}"),
]


def parts(message: Message) -> Parts:
    return (message.start_line, message.headers, message.body)


def read(pieces: Iterable[bytes]) -> tuple[list[Parts], int | None]:
    """Return the messages in *pieces*, and the status of the error after them."""
    reader = MessageReader(LIMIT)
    messages: list[Parts] = []
    try:
        for piece in pieces:
            for message in reader.feed(piece):
                messages.append(parts(message))
    except MessageError as exc:
        return messages, exc.status
    return messages, None


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    ends = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in pairwise(ends)]


def single(byte_by_byte: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in byte_by_byte]


def test_messages_are_the_same_for_every_split_in_two() -> None:
    expected = (MESSAGES, None)

    assert all(read(cut(STREAM, [place])) == expected for place in range(len(STREAM) + 1))


def test_messages_are_the_same_byte_by_byte() -> None:
    assert read(single(STREAM)) == (MESSAGES, None)


@given(st.lists(st.integers(0, len(STREAM))))
def test_messages_are_the_same_for_any_split(places: list[int]) -> None:
    assert read(cut(STREAM, places)) == (MESSAGES, None)


def test_messages_before_invalid_bytes_are_returned() -> None:
    assert read([POST + b"\x16\x03\x01"]) == (MESSAGES[:1], 400)


def test_message_is_returned_with_its_last_byte() -> None:
    assert read([POST[:-1]]) == ([], None)
    assert read([CHUNKED[:-1]]) == ([], None)


@pytest.mark.parametrize(
    ("stream", "headers"),
    [
        (b"A:b\r\n", {"a": "b"}),
        (b"A: \t b c \t\r\n", {"a": "b c"}),
        (b"A:\r\n", {"a": ""}),
        (b"A: b:c\r\n", {"a": "b:c"}),
        (b"X-*!: b\r\nx-*!: c\r\n", {"x-*!": "b, c"}),
        (b"A: \xe9\r\n", {"a": "\xe9"}),
        (b"Content-Length: 0\r\ncontent-length: 0\r\n", {"content-length": "0"}),
    ],
)
def test_headers_are_normalised(stream: bytes, headers: dict[str, str]) -> None:
    message = b"POST / HTTP/1.1\r\n" + stream + b"\r\n"

    assert read([message]) == ([("POST / HTTP/1.1", headers, b"")], None)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"\x16\x03\x01", id="tls"),
        pytest.param(b"\0", id="nul"),
        pytest.param(b"{", id="json"),
        pytest.param(b"hello\r\n", id="words"),
        pytest.param(b"hello\n", id="line"),
        pytest.param(b"PRI * HTTP/2.0\r\n", id="http-2"),
        pytest.param(b"GET /\r\n", id="http-0.9"),
        pytest.param(b"GET / HTTP/1.1\n", id="newline-alone"),
        pytest.param(b"GET  / HTTP/1.1\r\n", id="two-spaces"),
        pytest.param(b"GET / HTTP/1.1 \r\n", id="space-at-the-end"),
        pytest.param(b"GET / /HTTP/1.1 HTTP/1.2\r\n", id="version-in-the-path"),
        pytest.param(b"G@T / HTTP/1.1\r\n", id="no-method"),
        pytest.param(b"HTTP/1.1 20 OK\r\n", id="short-status"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n", id="long-status"),
        pytest.param(b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n", id="superscript-status"),
    ],
)
def test_bytes_that_are_not_http_are_rejected_at_once(stream: bytes) -> None:
    assert read([stream]) == ([], 400)
    assert read(single(stream)) == ([], 400)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"no colon\r\n", id="no-colon"),
        pytest.param(b": value\r\n", id="no-name"),
        pytest.param(b"A: b\r\n c\r\n", id="folded"),
        pytest.param(b"A: b\r\n\tc\r\n", id="folded-by-tab"),
        pytest.param(b"Content-Length : 5\r\n", id="space-before-colon"),
        pytest.param(b"Content Length: 5\r\n", id="space-in-name"),
        pytest.param(b"A: b\nContent-Length: 5\r\n", id="newline-in-value"),
        pytest.param(b"A: b\rContent-Length: 5\r\n", id="return-in-value"),
        pytest.param(b"A: \0\r\n", id="nul-in-value"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 6\r\n", id="two-lengths"),
        pytest.param(b"Content-Length: 5, 5\r\n", id="list-of-lengths"),
        pytest.param(b"Content-Length: \r\n", id="empty-length"),
        pytest.param(b"Content-Length: -1\r\n", id="negative-length"),
        pytest.param(b"Content-Length: +5\r\n", id="signed-length"),
        pytest.param(b"Content-Length: 0x5\r\n", id="hexadecimal-length"),
        pytest.param(b"Content-Length: 5_0\r\n", id="underscored-length"),
        pytest.param(b"Content-Length: \xb2\r\n", id="superscript-length"),
        pytest.param(b"Content-Length: \x0b5\r\n", id="length-after-vertical-tab"),
        pytest.param(b"Content-Length: " + b"9" * 5_000 + b"\r\n", id="endless-length"),
        pytest.param(b"Transfer-Encoding: gzip, chunked\r\n", id="other-encoding"),
        pytest.param(b"Transfer-Encoding: identity\r\n", id="identity"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="nearly-chunked"),
        pytest.param(b"Transfer-Encoding: \x0bchunked\r\n", id="chunked-after-vertical-tab"),
        pytest.param(b"Transfer-Encoding: \r\nContent-Length: 5\r\n", id="empty-encoding"),
        pytest.param(b"Transfer-Encoding: chunked\r\n" * 2, id="chunked-twice"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", id="both"),
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", id="both-the-other-way"),
    ],
)
def test_ambiguous_head_is_rejected(head: bytes) -> None:
    stream = b"POST / HTTP/1.1\r\n" + head + b"\r\nhello"

    assert read([stream]) == ([], 400)
    assert read(single(stream)) == ([], 400)


@pytest.mark.parametrize(
    "chunks",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"0x1\r\nh",
        b"\xb2\r\n",
        b";5\r\n",
        b"5\nhello",
        b"5;\nx\r\nhello",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n",
        b"00000000000000001\r\n",
        b"0\r\nTrailer: \0\r\n",
    ],
)
def test_invalid_chunk_is_rejected(chunks: bytes) -> None:
    stream = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks

    assert read([stream]) == ([], 400)
    assert read(single(stream)) == ([], 400)


@pytest.mark.parametrize(("excess", "status"), [(0, None), (1, 413)])
def test_body_above_the_limit_is_rejected_before_it_arrives(excess: int, status: int | None) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LIMIT + excess)

    messages, refused = read([head] if excess else [head, b"x" * LIMIT])

    assert ([len(body) for *_, body in messages], refused) == ([] if excess else [LIMIT], status)


@pytest.mark.parametrize(("excess", "status"), [(0, None), (1, 413), (2**62, 413)])
def test_limit_of_the_body_applies_to_all_chunks_together(excess: int, status: int | None) -> None:
    first = b"1\r\nx\r\n"
    second = b"%x\r\n" % (LIMIT - 1 + excess)
    rest = b"" if excess else b"x" * (LIMIT - 1) + b"\r\n0\r\n\r\n"

    messages, refused = read([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", first, second, rest])

    assert ([len(body) for *_, body in messages], refused) == ([] if excess else [LIMIT], status)


@pytest.mark.parametrize(("excess", "status"), [(0, None), (1, 431)])
def test_limit_of_the_head_does_not_depend_on_the_split(excess: int, status: int | None) -> None:
    start, end = b"GET / HTTP/1.1\r\nA: ", b"\r\n\r\n"
    stream = start + b"x" * (65_536 - len(start) - len(end) + excess) + end
    places = [[], [20], [65_530], [len(stream) - 4], [len(stream) - 3], [len(stream) - 2], [len(stream) - 1]]

    read_in_pieces = [read(cut(stream, at)) for at in places]

    assert [(len(messages), refused) for messages, refused in read_in_pieces] == [(0 if excess else 1, status)] * len(
        places
    )


def test_endless_head_is_rejected_at_the_limit() -> None:
    lines = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000

    assert read([lines]) == ([], 431)
    assert read([b"G" * 65_535]) == ([], None)
    assert read([b"G" * 65_536]) == ([], 431)


def test_endless_trailers_are_rejected_at_the_limit() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"

    assert read([head, b"A: b\r\n" * 20_000]) == ([], 431)


def test_endless_chunk_line_is_rejected_at_the_limit() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;"

    assert read([head, *[b"x" * 10_000] * 7]) == ([], 431)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)), st.sampled_from([b"", POST[:40], CHUNKED[:50]]))
def test_any_bytes_have_the_same_result_for_any_split(garbage: bytes, places: list[int], start: bytes) -> None:
    stream = start + garbage

    assert read(cut(stream, [min(place, len(stream)) for place in places])) == read([stream])


def test_held_bytes_are_those_of_the_incomplete_message() -> None:
    reader = MessageReader(LIMIT)
    held = []

    for piece in (b"POST / HTTP/1.1\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"3\r\nab"):
        list(reader.feed(piece))
        held.append(reader.held_bytes)
    list(reader.feed(b"c\r\n0\r\n\r\n" + POST[:-2]))
    held.append(reader.held_bytes)
    list(reader.feed(POST[-2:]))

    assert [*held, reader.held_bytes] == [0, 0, 5, 7, 3, 0]


def test_sender_that_waits_for_100_continue_is_reported() -> None:
    reader = MessageReader(LIMIT)
    head = b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"

    seen = []
    for piece in (head[:-1], head[-1:], b"hell", b"o", POST, head + b"hello"):
        seen.append((len(list(reader.feed(piece))), reader.expects_continue))

    assert seen == [(0, False), (0, True), (0, True), (1, False), (1, False), (1, False)]


@pytest.mark.parametrize(
    ("start_line", "connection", "wants_close"),
    [
        ("POST / HTTP/1.1", None, False),
        ("POST / HTTP/1.1", "close", True),
        ("POST / HTTP/1.1", "Upgrade, Close", True),
        ("POST / HTTP/1.1", "keep-alive", False),
        ("POST / HTTP/1.0", None, True),
        ("POST / HTTP/1.0", "Keep-Alive", False),
        ("POST /HTTP/1.0 HTTP/1.1", None, False),
        ("HTTP/1.0 200 OK", None, True),
        ("HTTP/1.1 200 OK", None, False),
    ],
)
def test_announced_end_of_a_connection_is_reported(start_line: str, connection: str | None, wants_close: bool) -> None:
    headers = {} if connection is None else {"connection": connection}

    assert Message(start_line, headers, b"").wants_close is wants_close


@pytest.mark.parametrize("line", ["HTTP/1.1 200 OK", "HTTP/1.0 200", "HTTP/1.1 200 "])
def test_status_is_that_of_the_response(line: str) -> None:
    (message,) = MessageReader(LIMIT).feed(f"{line}\r\n\r\n".encode())

    assert message.status == 200


def test_request_has_no_status() -> None:
    with pytest.raises(MessageError):
        _ = Message("GET / HTTP/1.1", {}, b"").status


_TOKENS = st.text("abcXYZ0!#$%&'*+-.^_`|~", min_size=1, max_size=8)
_VALUES = st.text('abc,;=" \t\xe9', max_size=12).map(lambda value: value.strip(" \t"))
_HEADERS = st.lists(st.tuples(_TOKENS, _VALUES), max_size=4)
_BODIES = st.lists(st.binary(min_size=1, max_size=30), max_size=4)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """A valid request, whose body is framed by length or by chunks."""
    lines = [f"{draw(_TOKENS)} /{draw(st.text('abc%2/?', max_size=5))} HTTP/1.1", "Host: h"]
    lines += [f"{name}: {value}" for name, value in draw(_HEADERS)]
    pieces = draw(_BODIES)
    if draw(st.booleans()):
        lines.append("Transfer-Encoding: chunked")
        extension = draw(st.sampled_from([b"", b";a", b";a=b", b" "]))
        chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
        trailer = draw(st.sampled_from([b"", b"T: t\r\n"]))
        body = chunks + b"0\r\n" + trailer + b"\r\n"
    else:
        body = b"".join(pieces)
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_by_h11(stream: bytes) -> list[Parts]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(stream)
    messages: list[Parts] = []
    while True:
        match connection.next_event():
            case h11.Request(method=method, target=target, headers=headers):
                start_line = f"{method.decode()} {target.decode()} HTTP/1.1"
                joined: dict[str, str] = {}
                for name, value in headers:
                    key = name.decode()
                    joined[key] = ", ".join([*([joined[key]] if key in joined else []), value.decode("latin-1")])
                messages.append((start_line, joined, b""))
            case h11.Data(data=piece):
                messages[-1] = (*messages[-1][:2], messages[-1][2] + bytes(piece))
            case h11.EndOfMessage():
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            case h11.NEED_DATA | h11.PAUSED:
                return messages


@given(st.lists(_requests(), min_size=1, max_size=3), st.lists(st.integers(0, 200)))
def test_valid_requests_are_read_as_h11_reads_them(requests: list[bytes], places: list[int]) -> None:
    stream = b"".join(requests)

    assert read(cut(stream, [min(place, len(stream)) for place in places])) == (read_by_h11(stream), None)
