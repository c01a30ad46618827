"""Reads JSON more tolerantly than the standard, and writes any JSON value, however deep. Pure; never raises."""

import json
import math
import re
from typing import Any

import orjson

_INVALID_BYTE = re.compile("[\udc80-\udcff]")
# Of the integers that orjson reads: 20 digits are too many unless they are less than 2**64, 19 after a minus may be.
_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_TOO_MANY_DIGITS, _NEGATIVE = b"0" * 20, b"-" + b"0" * 19
# orjson makes a float of any other integer.
_MIN_EXACT, _MAX_EXACT = -float(2**63), float(2**64)
INEXACT_TYPES = frozenset({float, list, dict})
"""The types of values for which `may_have_lost_digits` need be called."""
# A longer text is read only if it has at most this many values: each takes about a microsecond on its way to OTLP.
_SHORT_LENGTH = 8_192
_MAX_VALUES = 8_192
# Python refuses to convert longer integers. https://docs.python.org/3/library/stdtypes.html#int-max-str-digits
_MAX_DIGITS = 4_000
_MAX_DEPTH = 1_024
_BRACKETS = re.compile(r"[{}\[\]]")


def read_json(text: bytes) -> Any:
    """Return the value at the beginning of *text*, or *text* as a str if it cannot be read.

    Accepted beyond the standard: NaN and infinities, lone surrogates, control characters in strings, and bytes that are
    not UTF-8. A number too large for a float is kept as text. What follows the value is ignored.
    """
    try:
        value = orjson.loads(text)
        if not may_lose_digits(text):
            return value
    except ValueError:
        value = None
    characters = text.lstrip(b" \t\r\n").decode("utf-8", "surrogateescape")
    # An invalid byte as in `decode_text`, with the backslash of \xNN escaped as JSON strings require.
    escaped = _INVALID_BYTE.sub(lambda match: rf"\\x{ord(match[0]) - 0xDC00:02x}", characters)
    try:
        return _TOLERANT.raw_decode(escaped)[0]
    except (ValueError, RecursionError):
        return decode_text(text) if value is None else value


def is_json(text: bytes) -> bool:
    """Return whether *text* is JSON by the standard."""
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def may_lose_digits(text: bytes) -> bool:
    """Return whether *text* contains so many digits that orjson could have made a float of an integer."""
    zeros = text.translate(_TO_ZEROS)
    # Not `in`, which first tries whether what it looks for is a number, and formats an error.
    return zeros.find(_TOO_MANY_DIGITS) >= 0 or zeros.find(_NEGATIVE) >= 0


def may_have_lost_digits(value: Any) -> bool:
    """Return whether *value*, which orjson has read, contains a float that could be an integer beyond 64 bits."""
    pending = [value]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is float:
            if not _MIN_EXACT < value < _MAX_EXACT:
                return True
        elif kind is dict or kind is list:
            inner = value.values() if kind is dict else value
            if not INEXACT_TYPES.isdisjoint(map(type, inner)):
                pending += [each for each in inner if type(each) in INEXACT_TYPES]
    return False


def read_json_object(text: str) -> dict[str, Any] | None:
    """Return the object that *text* is, as tolerantly as `read_json`; None if it is something else.

    None as well if a long text has so many values that it would delay other lines.
    """
    text = text.strip(" \t\r\n")
    if text[:1] != "{" or text[-1] != "}" or (len(text) > _SHORT_LENGTH and _count_values(text) > _MAX_VALUES):
        return None
    try:
        value = orjson.loads(text)
    except ValueError:
        value = None
    if (value is None or may_lose_digits(text.encode())) and not _is_too_deep(text):
        try:
            tolerant, end = _TOLERANT.raw_decode(text)
        except (ValueError, RecursionError):
            end = -1
        value = tolerant if end == len(text) else value
    return value if isinstance(value, dict) else None


def _is_too_deep(text: str) -> bool:
    """Return whether *text* is nested deeper than orjson reads; how deep `json` reads depends on Python's release."""
    depth = 0
    if text.count("{") + text.count("[") > _MAX_DEPTH:
        for bracket in _BRACKETS.findall(text):
            depth += 1 if bracket in "{[" else -1
            if depth > _MAX_DEPTH:
                return True
    return False


def _count_values(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def decode_text(raw: bytes) -> str:
    """Decode UTF-8; an invalid byte is kept as \\xNN."""
    return raw.decode("utf-8", "backslashreplace")


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _int(digits: str) -> int | str:
    return int(digits) if len(digits) < _MAX_DIGITS else digits


_TOLERANT = json.JSONDecoder(strict=False, parse_float=_float, parse_int=_int)


def write_json(value: Any) -> str:
    """Return *value* as JSON; NaN and infinities are written as Python and JavaScript write them."""
    try:
        return _encode(value)
    except RecursionError:
        # orjson reads 1,024 levels of nesting, more than a recursive writer can write.
        return _encode_iteratively(value)


# `default`: of a value that is not JSON at all, at least the representation is kept.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode


def _encode_iteratively(value: Any) -> str:
    written: list[str] = []
    # Values still to be written, the last one first; a tuple holds text that is already encoded.
    pending: list[Any] = [value]
    while pending:
        match pending.pop():
            case tuple(encoded):
                written += encoded
            case dict() as inner:
                pairs = [((f"{_encode(str(key))}:",), item) for key, item in inner.items()]
                pending += _enclosed("{", pairs, "}")
            case list() as inner:
                pending += _enclosed("[", [(item,) for item in inner], "]")
            case scalar:
                written.append(_encode(scalar))
    return "".join(written)


def _enclosed(opening: str, members: list[tuple[Any, ...]], closing: str) -> list[Any]:
    parts: list[Any] = [(opening,)]
    for index, member in enumerate(members):
        parts += [(",",), *member] if index else member
    parts.append((closing,))
    return parts[::-1]
