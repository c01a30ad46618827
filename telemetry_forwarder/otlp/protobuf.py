"""Encodes JSON values as OTLP's AnyValue and KeyValue, and the fields around them. Pure; accepts every value.

Log records and data points are written as bytes because a message object for each value takes most of the time. Each
function returns what the serialized message of opentelemetry-proto would be: the tests compare the two.
https://protobuf.dev/programming-guides/encoding/
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto
"""

import math
import struct
from collections.abc import Mapping
from typing import Any

from telemetry_forwarder.core.cache import BoundedCache
from telemetry_forwarder.telemetry.json_values import write_json

# Receivers refuse messages nested deeper than 100 (protobuf's own limit), and one JSON level is three messages.
# What is nested deeper is kept as JSON text. https://protobuf.dev/programming-guides/proto-limits/
MAX_DEPTH = 24
MIN_INT, MAX_INT = -(2**63), 2**63 - 1
# Longer keys and texts hardly repeat, so they are not cached.
_MAX_CACHED_CHARACTERS = 64
_MAX_CACHED_ENCODERS = 256

# Tags (field number and wire type) of AnyValue, of the lists inside it, and of KeyValue.
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _OBJECT = b"\x0a", b"\x10", b"\x18", b"\x21", b"\x2a", b"\x32"
_ITEM = b"\x0a"
_KEY, _VALUE = b"\x0a", b"\x12"
_TRUE, _FALSE = _BOOL + b"\x01", _BOOL + b"\x00"
_pack_double = struct.Struct("<cd").pack


def encode_varint(number: int) -> bytes:
    """Return *number*, which must not be negative, as a varint: seven bits a byte."""
    if number < 0x4000:
        # Most numbers are, and this takes half the time of the loop.
        return bytes((number & 0x7F | 0x80, number >> 7)) if number > 0x7F else bytes((number,))
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)


# For lengths, which repeat.
_varints = BoundedCache(encode_varint, 8_192)


def encode_text(text: str) -> bytes:
    """Return *text* as valid UTF-8: a lone surrogate, which JSON can contain, becomes its escape sequence."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def escape_surrogates(value: Any) -> Any:
    """Return a text with its lone surrogates escaped as in `encode_text`: the SDK raises on them. Keep other values."""
    return value if not isinstance(value, str) or value.isascii() else encode_text(value).decode()


def field(tag: bytes, payload: bytes) -> bytes:
    """Return a length-delimited field: a string, bytes, or a message."""
    return tag + _varints[len(payload)] + payload


def text_field(tag: bytes, text: str) -> bytes:
    """Return a field with *text*; as protobuf does, nothing if it is empty."""
    return field(tag, encode_text(text)) if text else b""


def encode_key_value(key: str, value: Any, depth: int = 0) -> bytes:
    """Return the payload of a KeyValue."""
    payload = encode_any_value(value, depth)
    key_field = _key_fields[key] if len(key) <= _MAX_CACHED_CHARACTERS else _key_field(key)
    return key_field + _varints[len(payload)] + payload


def encode_any_value(value: Any, depth: int = 0) -> bytes:
    """Return the payload of an AnyValue that has the type of *value*, any JSON value. Null is the empty AnyValue.

    A value without a place in OTLP becomes text. *depth* is the number of arrays and objects around it.
    """
    kind = type(value)
    if kind is str:
        text = encode_text(value)
        return _STRING + _varints[len(text)] + text
    if kind is int:
        return _encode_int(value)
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is float:
        # JSON has neither infinities nor NaN, and not every reader of OTLP's JSON accepts them.
        return _pack_double(_DOUBLE, value) if math.isfinite(value) else field(_STRING, repr(value).encode())
    if value is None:
        return b""
    return _encode_nested(value, depth)


def _encode_int(value: int) -> bytes:
    if 0 <= value < 0x4000:
        # As in `encode_varint`, without the call.
        return bytes((0x18, value & 0x7F | 0x80, value >> 7)) if value > 0x7F else bytes((0x18, value))
    if MIN_INT <= value <= MAX_INT:
        # Not cached: ids and durations would displace the lengths.
        return _INT + encode_varint(value & 0xFFFFFFFFFFFFFFFF)
    return field(_STRING, str(value).encode())


def _encode_nested(value: Any, depth: int) -> bytes:
    if depth >= MAX_DEPTH:
        return field(_STRING, encode_text(write_json(value)))
    if isinstance(value, dict):
        pairs = [field(_ITEM, encode_key_value(str(key), inner, depth + 1)) for key, inner in value.items()]
        return field(_OBJECT, b"".join(pairs))
    if isinstance(value, (list, tuple)):
        items = [field(_ITEM, encode_any_value(inner, depth + 1)) for inner in value]
        return field(_ARRAY, b"".join(items))
    return field(_STRING, encode_text(repr(value)))


def _key_field(key: str) -> bytes:
    """Return a KeyValue up to the length of its value."""
    return field(_KEY, encode_text(key)) + _VALUE


_key_fields = BoundedCache(_key_field, 1_024)


class AttributeEncoder:
    """Encodes attributes that have the same key."""

    __slots__ = ("_fields", "_heads")

    def __init__(self, tag: bytes, key: str) -> None:
        # Short texts repeat (services, loggers, levels); of other values, the sizes do.
        self._fields: BoundedCache[str, bytes] = BoundedCache(lambda text: field(tag, encode_key_value(key, text)), 32)
        key_field = _key_field(key)
        self._heads: BoundedCache[int, bytes] = BoundedCache(lambda size: _head(tag, key_field, size), 64)

    def encode(self, value: Any) -> bytes:
        """Return the field for *value*, any JSON value."""
        kind = type(value)
        if kind is str and len(value) <= _MAX_CACHED_CHARACTERS:
            return self._fields[value]
        payload = _encode_int(value) if kind is int else encode_any_value(value)
        return self._heads[len(payload)] + payload


class AttributesEncoder(dict[str, AttributeEncoder]):
    """Encodes attributes, each as a KeyValue in a field with *tag*. `encoder[key]` encodes those called *key*.

    A dict for the reason that `BoundedCache` is one.
    """

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self._tag = tag

    def __missing__(self, key: str) -> AttributeEncoder:
        encoder = AttributeEncoder(self._tag, key)
        if len(key) <= _MAX_CACHED_CHARACTERS:
            if len(self) >= _MAX_CACHED_ENCODERS:
                self.clear()
            self[key] = encoder
        return encoder

    def encode(self, attributes: Mapping[str, Any] | None) -> bytes:
        """Return a field for each of *attributes*."""
        return b"".join([self[key].encode(attributes[key]) for key in attributes]) if attributes else b""


def _head(tag: bytes, key_field: bytes, size: int) -> bytes:
    """Return all of a KeyValue's field that precedes a value of *size* bytes."""
    length = _varints[size]
    return tag + _varints[len(key_field) + len(length) + size] + key_field + length
