"""Frames of HTTP/2 and header blocks to send. Pure; no I/O. https://www.rfc-editor.org/rfc/rfc9113#name-frames"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

MAX_FRAME_BYTES = 16_384
"""The largest payload that every receiver allows, and that we allow and send."""
DEFAULT_WINDOW_BYTES = 65_535
"""How much may be sent before the receiver allows more, on a connection and on each of its streams."""
END_STREAM = ACK = 0x1
END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_HEAD = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")
_RESERVED_BIT = 0x80000000


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    ENABLE_PUSH = 2
    INITIAL_WINDOW_SIZE = 4


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    """0 for the connection."""
    payload: bytes

    @property
    def content(self) -> bytes:
        """The payload of DATA or HEADERS without padding and priority. Raises `ValueError`."""
        start, end = 0, len(self.payload)
        if self.flags & _PADDED:
            start, end = 1, end - self.numbers(">B")[0]
        if self.kind == Kind.HEADERS and self.flags & _PRIORITY:
            start += 5
        if start > end:
            raise ValueError("more padding than payload")
        return self.payload[start:end]

    def numbers(self, layout: str) -> tuple[int, ...]:
        """Return the numbers at the start of the payload. Raises `ValueError` if it is too short."""
        try:
            return struct.unpack_from(layout, self.payload)
        except struct.error as exc:
            raise ValueError("too short") from exc

    def settings(self) -> dict[int, int]:
        """Return the values of a SETTINGS frame. Raises `ValueError`."""
        if len(self.payload) % _SETTING.size:
            raise ValueError("half a setting")
        return dict(_SETTING.iter_unpack(self.payload))


def encode_frame(kind: Kind, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def encode_settings(settings: dict[Setting, int]) -> bytes:
    payload = b"".join(_SETTING.pack(*setting) for setting in settings.items())
    return encode_frame(Kind.SETTINGS, 0, 0, payload)


def encode_headers(headers: Iterable[tuple[bytes, bytes]], stream_id: int) -> Iterator[bytes]:
    """Yield the frames of a header block: HEADERS, and CONTINUATION if one is not enough.

    Headers are literals that no table keeps: the server's table needs no size, and secrets are not compressed.
    """
    block = b"".join(b"\x10" + _string(name) + _string(value) for name, value in headers)
    kind = Kind.HEADERS
    while block:
        part, block = block[:MAX_FRAME_BYTES], block[MAX_FRAME_BYTES:]
        yield encode_frame(kind, 0 if block else END_HEADERS, stream_id, part)
        kind = Kind.CONTINUATION


def take_frame(received: bytearray) -> Frame | None:
    """Remove the first frame from *received* and return it; None if it is incomplete. Raises `ValueError`."""
    if len(received) < _HEAD.size:
        return None
    high, low, kind, flags, stream_id = _HEAD.unpack_from(received)
    size = high << 8 | low
    if size > MAX_FRAME_BYTES:
        raise ValueError("larger than allowed")
    end = _HEAD.size + size
    if len(received) < end:
        return None
    payload = bytes(received[_HEAD.size : end])
    del received[:end]
    return Frame(kind, flags, stream_id & ~_RESERVED_BIT, payload)


def _string(text: bytes) -> bytes:
    """Encode a string without Huffman coding. https://www.rfc-editor.org/rfc/rfc7541#section-5"""
    size, limit = len(text), 0x7F
    if size < limit:
        return bytes([size]) + text
    prefix = bytearray([limit])
    size -= limit
    while size > limit:
        prefix.append(size & limit | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + text
