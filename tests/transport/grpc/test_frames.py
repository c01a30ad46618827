"""Frames as RFC 9113 defines them; hyperframe and hpack are the other side."""

import pytest
from hpack import Decoder
from hyperframe.frame import Frame as OtherFrame
from hyperframe.frame import HeadersFrame, SettingsFrame
from hypothesis import example, given
from hypothesis import strategies as st

from telemetry_forwarder.transport.grpc.frames import (
    ACK,
    END_HEADERS,
    MAX_FRAME_BYTES,
    Frame,
    Kind,
    Setting,
    encode_frame,
    encode_headers,
    encode_settings,
    take_frame,
)


@given(st.binary(max_size=300), st.integers(1, 300))
def test_frame_is_taken_when_it_is_complete(payload: bytes, piece: int) -> None:
    data, received = encode_frame(Kind.DATA, ACK, 7, payload), bytearray()
    frames = []
    for start in range(0, len(data), piece):
        received += data[start : start + piece]
        frames.append(take_frame(received))

    assert frames == [None] * (len(frames) - 1) + [Frame(Kind.DATA, ACK, 7, payload)]
    assert received == b""


def test_reserved_bit_is_ignored() -> None:
    assert take_frame(bytearray(b"\0\0\0\6\0\x80\0\0\5")) == Frame(Kind.PING, 0, 5, b"")


def test_frame_that_is_larger_than_allowed_is_no_frame() -> None:
    with pytest.raises(ValueError, match="larger"):
        take_frame(bytearray(b"HTTP/1.1 400 Bad Request"))


def test_settings_are_read_by_others_and_back() -> None:
    data = encode_settings({Setting.ENABLE_PUSH: 0, Setting.INITIAL_WINDOW_SIZE: 20_000})

    frame, size = OtherFrame.parse_frame_header(memoryview(data[:9]))
    frame.parse_body(memoryview(data[9:]))
    ours = take_frame(bytearray(data))

    assert isinstance(frame, SettingsFrame)
    assert ours is not None
    assert (size, frame.settings) == (12, {2: 0, 4: 20_000})
    assert ours.settings() == frame.settings


@pytest.mark.parametrize("size", [1, 5, 7])
def test_settings_of_another_size_are_invalid(size: int) -> None:
    with pytest.raises(ValueError, match="half"):
        Frame(Kind.SETTINGS, 0, 0, bytes(size)).settings()


@pytest.mark.parametrize("padding", [0, 1, 200])
@pytest.mark.parametrize("flags", [set(), {"PRIORITY"}])
def test_content_is_without_padding_and_priority(padding: int, flags: set[str]) -> None:
    other = HeadersFrame(3, b"block", pad_length=padding, flags=[*flags, "PADDED"])

    frame = take_frame(bytearray(other.serialize()))

    assert frame is not None
    assert frame.content == b"block"


def test_content_of_an_ordinary_frame_is_its_payload() -> None:
    assert Frame(Kind.DATA, 0, 1, b"body").content == b"body"


def test_padding_that_exceeds_the_payload_is_invalid() -> None:
    with pytest.raises(ValueError, match="padding"):
        _ = Frame(Kind.DATA, 0x8, 1, b"\x09body").content


def test_numbers_that_are_missing_are_invalid() -> None:
    with pytest.raises(ValueError, match="short"):
        Frame(Kind.WINDOW_UPDATE, 0, 0, b"\0").numbers(">I")


_TEXT = st.binary(max_size=400)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=400), _TEXT), min_size=1, max_size=8))
@example([(b"a", bytes(40_000)), (b"b", bytes(9_000)), (b"c", b"")])
def test_headers_are_decoded_by_others(headers: list[tuple[bytes, bytes]]) -> None:
    received = bytearray(b"".join(encode_headers(headers, 9)))
    frames = []
    while frame := take_frame(received):
        frames.append(frame)

    assert [frame.kind for frame in frames] == [Kind.HEADERS] + [Kind.CONTINUATION] * (len(frames) - 1)
    assert [bool(frame.flags & END_HEADERS) for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert {frame.stream_id for frame in frames} == {9}
    assert max(len(frame.payload) for frame in frames) <= MAX_FRAME_BYTES
    decoded = Decoder().decode(b"".join(frame.payload for frame in frames), raw=True)
    assert list(decoded) == headers
