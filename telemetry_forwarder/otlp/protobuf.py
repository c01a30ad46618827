"""JSON values -> the bytes of OTLP's AnyValue and KeyValue, without the messages in between. Pure; takes every value.

Log records and metrics' points are written so: making a message object for each value takes most of the time. Each
function gives what the serialized message of opentelemetry-proto would be, and the tests compare the two.
https://protobuf.dev/programming-guides/encoding/
"""

import math
import struct
from collections.abc import Mapping
from typing import Any

from telemetry_forwarder.core.cache import BoundedCache
from telemetry_forwarder.telemetry.json_values import write_json

# Receivers refuse messages nested deeper than 100 (protobuf's own limit), and a JSON level is three of them.
# What is nested deeper is kept as JSON text. https://protobuf.dev/programming-guides/proto-limits/
MAX_DEPTH = 24
MIN_INT, MAX_INT = -(2**63), 2**63 - 1
_SHORT = 64
_TRUE, _FALSE = b"\x10\x01", b"\x10\x00"
_double = struct.Struct("<cd").pack


def encoded(number: int) -> bytes:
    """A number that is not negative, seven bits a byte."""
    if number < 0x4000:
        # Most are: half the time of the loop below.
        return bytes((number & 0x7F | 0x80, number >> 7)) if number > 0x7F else bytes((number,))
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)


# The same for lengths, which repeat.
varints = BoundedCache(encoded, 8_192)


def utf8(text: str) -> bytes:
    """*text* as valid UTF-8: a lone surrogate, which JSON can spell, becomes its escape."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def field(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field: a string, bytes, or a message."""
    return tag + varints[len(payload)] + payload


def key_value(key: str, value: Any, depth: int = 0) -> bytes:
    """The payload of a KeyValue."""
    payload = any_value(value, depth)
    key_field = _keys[key] if len(key) <= _SHORT else _key(key)
    return key_field + varints[len(payload)] + payload


def any_value(value: Any, depth: int = 0) -> bytes:
    """The payload of an AnyValue, with the type of *value*: any JSON value. Null is the empty AnyValue."""
    kind = type(value)
    if kind is str:
        text = utf8(value)
        return b"\x0a" + varints[len(text)] + text
    if kind is int:
        return _int(value)
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is float:
        # JSON has neither infinities nor NaN, and neither have OTLP's JSON readers everywhere.
        return _double(b"\x21", value) if math.isfinite(value) else _text(repr(value))
    if value is None:
        return b""
    return _nested(value, depth)


def _int(value: int) -> bytes:
    if 0 <= value < 0x4000:
        # As in `encoded`, whose calls are what this saves.
        return bytes((0x18, value & 0x7F | 0x80, value >> 7)) if value > 0x7F else bytes((0x18, value))
    if MIN_INT <= value <= MAX_INT:
        # Not from the memo: ids and durations would push the lengths out of it.
        return b"\x18" + encoded(value & 0xFFFFFFFFFFFFFFFF)
    return _text(str(value))


def _nested(value: Any, depth: int) -> bytes:
    if depth >= MAX_DEPTH:
        return _text(write_json(value))
    if isinstance(value, Mapping):
        pairs = b"".join(
            [field(b"\x0a", key_value(str(key), inner, depth + 1)) for key, inner in value.items()]
        )
        return field(b"\x32", pairs)
    if isinstance(value, list | tuple):
        return field(b"\x2a", b"".join([field(b"\x0a", any_value(inner, depth + 1)) for inner in value]))
    return _text(repr(value))


def _key(key: str) -> bytes:
    return field(b"\x0a", utf8(key)) + b"\x12"


def _text(text: str) -> bytes:
    return field(b"\x0a", utf8(text))


# Keys are few and come again with every line.
_keys = BoundedCache(_key, 1_024)


class Attribute:
    """Encodes attributes of one key, as fields of type KeyValue."""

    __slots__ = ("_heads", "_texts")

    def __init__(self, tag: bytes, key: str) -> None:
        # Of services, loggers, levels there are few; and values of other kinds have few sizes.
        self._texts: BoundedCache[str, bytes] = BoundedCache(
            lambda text: field(tag, key_value(key, text)), 32
        )
        key_field = _key(key)
        self._heads: BoundedCache[int, bytes] = BoundedCache(lambda size: _head(tag, key_field, size), 64)

    def field(self, value: Any) -> bytes:
        """The field for *value*, any JSON value."""
        kind = type(value)
        if kind is str and len(value) <= _SHORT:
            return self._texts[value]
        payload = _int(value) if kind is int else any_value(value)
        return self._heads[len(payload)] + payload


class Attributes(BoundedCache[str, Attribute]):
    """By their keys, for fields with *tag*. Long keys are not kept."""

    def __init__(self, tag: bytes) -> None:
        super().__init__(lambda key: Attribute(tag, key), 256)

    def __missing__(self, key: str) -> Attribute:
        return super().__missing__(key) if len(key) <= _SHORT else self._function(key)

    def fields(self, attributes: Mapping[str, Any] | None) -> bytes:
        """A field for each of *attributes*."""
        return b"".join([self[key].field(attributes[key]) for key in attributes]) if attributes else b""


def _head(tag: bytes, key_field: bytes, size: int) -> bytes:
    """All of a field of type KeyValue before the payload of its value, which has *size* bytes."""
    length = varints[size]
    return tag + varints[len(key_field) + len(length) + size] + key_field + length
