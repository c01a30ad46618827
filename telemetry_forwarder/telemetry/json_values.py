"""Reads JSON more tolerantly than the standard, and writes any JSON value, however deep. Pure; never raises."""

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


def json_text(value: Any) -> str:
    """*value* as JSON; what JSON has no spelling for (NaN, infinities) as Python and JavaScript spell it."""
    try:
        return _encode(value)
    except RecursionError:
        # orjson reads a nesting of 1,024, at which every recursive writer gives up.
        return _unrolled(value)


# `default`: a value that is no JSON at all is still worth its name.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode


def _unrolled(value: Any) -> str:
    pieces: list[str] = []
    # Values still to be written, last one first; a tuple holds text that is written already.
    todo: list[Any] = [value]
    while todo:
        match todo.pop():
            case tuple(written):
                pieces += written
            case dict() as inner:
                pairs = [((f"{_encode(str(key))}:",), item) for key, item in inner.items()]
                todo += _enclosed("{", pairs, "}")
            case list() as inner:
                todo += _enclosed("[", [(item,) for item in inner], "]")
            case scalar:
                pieces.append(_encode(scalar))
    return "".join(pieces)


def _enclosed(opening: str, members: list[tuple[Any, ...]], closing: str) -> list[Any]:
    parts: list[Any] = [(opening,)]
    for place, member in enumerate(members):
        parts += [(",",), *member] if place else member
    parts.append((closing,))
    return parts[::-1]
