"""Writes any JSON value as JSON text, however deep it is nested. Pure; never raises."""

import json
from typing import Any


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
