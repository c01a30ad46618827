"""A connection whose other side sends frames that were prepared in advance, over a real pair of sockets."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.transport.grpc.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    Frame,
    Kind,
    Setting,
    encode_frame,
    encode_headers,
    encode_settings,
    take_frame,
)
from telemetry_forwarder.transport.grpc.http2 import Http2Connection, Http2Response
from telemetry_forwarder.transport.outcome import FailureKind, RequestError
from telemetry_forwarder.transport.sockets import Stream
from tests.support.requests import new_attempt, raises

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = encode_settings({})
LAST = 2**31 - 1


class Peer:
    """The other side of a connection."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        self.connection = Http2Connection(Stream(ours))
        self._encoder = Encoder()
        self._received = bytearray()
        self._sending = threading.Thread(target=bool)
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def close(self) -> None:
        self.connection.close()
        self._reading.join()
        self._sending.join()
        self.socket.close()

    def headers(self, *pairs: tuple[str, str], ends: bool = False, stream_id: int = 1) -> bytes:
        flags = END_HEADERS | (END_STREAM if ends else 0)
        return encode_frame(Kind.HEADERS, flags, stream_id, self._encoder.encode(pairs))

    def response(self, body: bytes = b"body", stream_id: int = 1) -> bytes:
        return (
            self.headers((":status", "200"), ("a", "1"), stream_id=stream_id)
            + encode_frame(Kind.DATA, 0, stream_id, body)
            + self.headers(("grpc-status", "0"), ends=True, stream_id=stream_id)
        )

    def request(self, *received: bytes, body: bytes = b"x", ends: bool = False, seconds: float = 30.0) -> Http2Response:
        """Make a request to which the other side has sent *received* already, and then ends if *ends*."""

        def send() -> None:
            # Our side may end before it has received everything.
            with suppress(OSError):
                self.socket.sendall(b"".join(received))
                if ends:
                    self.socket.shutdown(socket.SHUT_WR)

        self._sending = threading.Thread(target=send)
        self._sending.start()
        return self.connection.request([(b":method", b"POST")], body, new_attempt(seconds))

    def sent(self) -> list[Frame]:
        """Return the frames of our side."""
        self.connection.close()
        self._reading.join()
        data = self._received
        assert data.startswith(PREFACE)
        del data[: len(PREFACE)]
        frames = []
        while frame := take_frame(data):
            frames.append(frame)
        return frames

    def _read(self) -> None:
        while part := self.socket.recv(65_536):
            self._received += part


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


def test_response_has_headers_body_and_trailers(peer: Peer) -> None:
    response = peer.request(SETTINGS, peer.response())

    assert (response.headers, bytes(response.body)) == ({":status": "200", "a": "1"}, b"body")
    assert (response.trailers, response.is_complete) == ({"grpc-status": "0"}, True)
    assert peer.connection.is_usable(new_attempt())


def test_requests_follow_one_another(peer: Peer) -> None:
    bodies = [peer.request(SETTINGS, peer.response(b"a")).body]
    bodies += [peer.request(peer.response(str(number).encode(), number)).body for number in (3, 5)]

    assert bodies == [b"a", b"3", b"5"]
    data = [(frame.stream_id, frame.payload) for frame in peer.sent() if frame.kind == Kind.DATA]
    assert data == [(1, b"x"), (3, b"x"), (5, b"x")]


def test_interim_response_is_skipped(peer: Peer) -> None:
    response = peer.request(SETTINGS, peer.headers((":status", "103"), ("x", "y")), peer.response())

    assert response.headers == {":status": "200", "a": "1"}


def test_headers_in_several_frames(peer: Peer) -> None:
    block = Encoder().encode([(":status", "200"), ("a", "1")])
    response = peer.request(
        SETTINGS,
        encode_frame(Kind.HEADERS, END_STREAM, 1, block[:3]),
        encode_frame(Kind.CONTINUATION, END_HEADERS, 1, block[3:]),
    )

    assert (response.headers, response.is_complete) == ({":status": "200", "a": "1"}, True)


def test_long_message_of_a_refusal_is_received(peer: Peer) -> None:
    headers = [(b":status", b"200"), (b"grpc-status", b"3"), (b"grpc-message", b"x" * 200_000)]
    frames = bytearray(b"".join(encode_headers(headers, 1)))
    frames[4] |= END_STREAM

    response = peer.request(SETTINGS, bytes(frames))

    assert (response.headers["grpc-status"], len(response.headers["grpc-message"])) == ("3", 200_000)
    assert response.is_complete


def test_frames_of_unknown_kinds_and_of_other_streams_are_ignored(peer: Peer) -> None:
    reset = encode_frame(Kind.RST_STREAM, 0, 7, struct.pack(">I", 8))
    other = [b"\0\0\1\x20\0\0\0\0\0x", reset, encode_frame(Kind.DATA, END_STREAM, 7, b"x")]

    assert peer.request(SETTINGS, *other, peer.response()).body == b"body"


def test_body_is_sent_within_the_limits_of_the_server(peer: Peer) -> None:
    limits = encode_settings({Setting.INITIAL_WINDOW_SIZE: 100_000})
    peer.request(limits, encode_frame(Kind.SETTINGS, ACK, 0), peer.response())
    opened = [encode_frame(Kind.WINDOW_UPDATE, 0, id_, struct.pack(">I", 10_000)) for id_ in (0, 3)]

    with raises(FailureKind.BROKEN, match="closed"):
        peer.request(*opened, body=bytes(200_000), ends=True)

    sizes = [len(frame.payload) for frame in peer.sent() if frame.kind == Kind.DATA and frame.stream_id == 3]
    # 65,535 + 10,000 on the connection, of which the first request has used 1.
    assert sum(sizes) == 75_534
    assert max(sizes) == 16_384


def test_server_that_responds_before_it_has_received_everything(peer: Peer) -> None:
    response = peer.request(SETTINGS, peer.headers((":status", "413"), ends=True), body=bytes(100_000))

    assert response.headers == {":status": "413"}
    assert not peer.connection.is_usable(new_attempt())


def test_long_body_is_cut(peer: Peer) -> None:
    pieces = [encode_frame(Kind.DATA, 0, 1, bytes(16_384))] * 5
    response = peer.request(SETTINGS, peer.headers((":status", "200")), *pieces)

    assert (len(response.body), response.is_complete) == (65_536, False)
    assert peer.connection.is_last


@pytest.mark.parametrize("end", [b"", encode_frame(Kind.RST_STREAM, 0, 1, struct.pack(">I", 2)), b"\xff" * 9])
def test_response_that_breaks_off_in_its_body_is_one(peer: Peer, end: bytes) -> None:
    start = [SETTINGS, peer.headers((":status", "200")), encode_frame(Kind.DATA, 0, 1, b"half")]

    assert peer.request(*start, end, ends=True).body == b"half"
    assert peer.connection.is_last


def test_allowance_is_returned_for_what_was_received(peer: Peer) -> None:
    peer.request(SETTINGS, peer.response(bytes(1_000)))
    peer.request(peer.response(stream_id=3))

    updates = [(frame.stream_id, frame.numbers(">I")) for frame in peer.sent() if frame.kind == Kind.WINDOW_UPDATE]
    assert (0, (1_000,)) in updates
    assert (1, (1_000,)) in updates


class TestGoaway:
    def goaway(self, last_id: int) -> bytes:
        return encode_frame(Kind.GOAWAY, 0, 0, struct.pack(">II", last_id, 0) + b"max_age")

    @pytest.mark.parametrize("last_id", [1, LAST])
    def test_running_request_is_still_answered(self, peer: Peer, last_id: int) -> None:
        response = peer.request(SETTINGS, self.goaway(last_id), peer.response())

        assert (bytes(response.body), response.is_complete) == (b"body", True)
        assert not peer.connection.is_usable(new_attempt())

    def test_request_that_the_server_has_not_read_is_broken(self, peer: Peer) -> None:
        with raises(FailureKind.BROKEN, match="the server ends the connection, code 0"):
            peer.request(SETTINGS, self.goaway(0))

    def test_idle_connection_is_not_used_again(self, peer: Peer) -> None:
        peer.request(SETTINGS, peer.response())
        peer.socket.sendall(encode_frame(Kind.PING, 0, 0, bytes(8)) + self.goaway(1))

        assert not peer.connection.is_usable(new_attempt())


def test_idle_connection_with_other_frames_is_used_again(peer: Peer) -> None:
    peer.request(SETTINGS, peer.response())
    peer.socket.sendall(encode_frame(Kind.PING, 0, 0, b"12345678") + encode_frame(Kind.SETTINGS, 0, 0))

    assert peer.connection.is_usable(new_attempt())
    assert peer.request(peer.response(b"next", 3)).body == b"next"
    acknowledged = [(frame.kind, frame.payload) for frame in peer.sent() if frame.flags == ACK and not frame.stream_id]
    assert acknowledged == [(Kind.SETTINGS, b""), (Kind.PING, b"12345678"), (Kind.SETTINGS, b"")]


def test_idle_connection_that_was_closed_is_not_used_again(peer: Peer) -> None:
    peer.request(SETTINGS, peer.response())
    peer.socket.shutdown(socket.SHUT_RDWR)

    assert not peer.connection.is_usable(new_attempt())


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "the server responded with HTTP/1"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], "not HTTP/2: larger than allowed"),
        ([encode_frame(Kind.PING, 0, 0, bytes(8))], "not HTTP/2: it begins without settings"),
        ([SETTINGS, encode_frame(Kind.PUSH_PROMISE, 0, 1, bytes(8))], "not HTTP/2: it pushes"),
        ([SETTINGS, encode_frame(Kind.GOAWAY, 0, 0, b"")], "not HTTP/2: too short"),
        ([SETTINGS, encode_frame(Kind.RST_STREAM, 0, 1, struct.pack(">I", 7))], "the request was reset, code 7"),
        ([SETTINGS, encode_frame(Kind.HEADERS, END_HEADERS, 1, b"\xff")], "not HTTP/2: .*"),
        ([SETTINGS, *[encode_frame(Kind.HEADERS, 0, 1, bytes(16_384))] * 1], "closed before a response"),
        (
            [SETTINGS, *[encode_frame(Kind.CONTINUATION, 0, 1, bytes(16_384))] * 17],
            "not HTTP/2: the headers are too long",
        ),
        ([SETTINGS], "closed before a response"),
        ([], "closed before a response"),
    ],
)
def test_what_is_no_response_is_broken(peer: Peer, received: list[bytes], reason: str) -> None:
    with raises(FailureKind.BROKEN, match=f"^{reason}$"):
        peer.request(*received, ends=True)


def test_server_that_does_not_respond_in_time(peer: Peer) -> None:
    with raises(FailureKind.TIMED_OUT):
        peer.request(SETTINGS, seconds=0.1)


def test_server_that_opens_no_window_in_time(peer: Peer) -> None:
    with raises(FailureKind.TIMED_OUT):
        peer.request(encode_settings({Setting.INITIAL_WINDOW_SIZE: 0}), body=bytes(70_000), seconds=0.1)


_KINDS = st.sampled_from(list(Kind))
_FRAMES = st.builds(encode_frame, _KINDS, st.integers(0, 255), st.sampled_from([0, 1, 1, 2, 3]), st.binary(max_size=20))


@given(st.lists(_FRAMES, max_size=8), st.binary(max_size=20))
def test_any_frames_end_in_a_response_or_a_request_error(frames: list[bytes], rest: bytes) -> None:
    peer = Peer()
    try:
        response = peer.request(SETTINGS, *frames, rest, ends=True)
        assert len(response.body) <= 65_536
    except RequestError:
        pass
    finally:
        peer.close()
