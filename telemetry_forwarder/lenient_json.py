"""Reads JSON as far as anybody can: what a strict parser refuses, too. Pure; never raises."""

import json
import math
import re
from typing import Any

import orjson

_INVALID_BYTE = re.compile("[\udc80-\udcff]")
# Python refuses to read longer ones, or takes very long. https://docs.python.org/3/library/stdtypes.html#int-max-str-digits
_MOST_DIGITS = 4_000


def read_json(text: bytes) -> Any:
    """The value at the beginning of *text*; *text* itself, as a str, if nobody can say what it means.

    Beside what the standard allows: NaN and infinities, lone surrogates, control characters in strings, and bytes
    that are no UTF-8. A number that no float can hold is kept as its text,
    and what follows the value is not looked at.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        value, _ = _LENIENT.raw_decode(_characters(text.lstrip(b" \t\r\n")))
    except (ValueError, RecursionError):
        return text_of(text)
    return value


def text_of(raw: bytes) -> str:
    """*raw* as text: an invalid byte is kept as \\xNN rather than lost."""
    return raw.decode("utf-8", "backslashreplace")


def _characters(text: bytes) -> str:
    """As `text_of`, but in a JSON string the backslash has to be escaped itself."""
    characters = text.decode("utf-8", "surrogateescape")
    return _INVALID_BYTE.sub(lambda match: rf"\\x{ord(match[0]) - 0xDC00:02x}", characters)


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _int(digits: str) -> int | str:
    return int(digits) if len(digits) < _MOST_DIGITS else digits


_LENIENT = json.JSONDecoder(strict=False, parse_float=_float, parse_int=_int)
