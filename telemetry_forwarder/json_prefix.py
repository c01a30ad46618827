"""Tells a whole JSON value from the beginning of one, and from no JSON at all. Pure; never raises.

A parser only says that a text is not JSON. To join what Lambda cut we must know more: whether what we have could
still become JSON with more bytes, and if it is whole, where it ends. https://www.rfc-editor.org/rfc/rfc8259
"""

import re
from enum import Enum
from typing import NamedTuple


class Shape(Enum):
    WHOLE = "whole"
    BEGUN = "begun"
    """Valid as far as it goes."""
    WRONG = "wrong"


class Measure(NamedTuple):
    shape: Shape
    end: int
    """Just behind the value, if it is whole."""


_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR = re.compile(rb"-?(?:[0-9][0-9.eE+-]*|[A-Za-z]+)|-")
_WORDS = (b"true", b"false", b"null", b"NaN", b"Infinity")

_QUOTE, _COLON_SIGN, _OPEN_ARRAY, _CLOSE_ARRAY = b'":[]'
# In ASCII each closing bracket stands two places behind the opening one.
_TO_CLOSER = 2

# What may come next, by what came last.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _COMMA_OR_END = range(6)


def measure(text: bytes, start: int = 0) -> Measure:
    """Find the JSON value that begins at *start*. Takes time in proportion to its length."""
    closers: list[int] = []
    expected = _VALUE
    at = start
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches anywhere
        if at == len(text):
            return Measure(Shape.BEGUN, at)
        char = text[at]
        if char in b"]}":
            if (
                not closers
                or closers[-1] != char
                or expected not in (_VALUE_OR_END, _KEY_OR_END, _COMMA_OR_END)
            ):
                return Measure(Shape.WRONG, at)
            closers.pop()
            at += 1
        elif char in b",:":
            if expected != (_COLON if char == _COLON_SIGN else _COMMA_OR_END):
                return Measure(Shape.WRONG, at)
            expected = _VALUE if char == _COLON_SIGN or closers[-1] == _CLOSE_ARRAY else _KEY
            at += 1
            continue
        elif expected in (_COLON, _COMMA_OR_END):
            return Measure(Shape.WRONG, at)
        elif char in b"[{" and expected in (_VALUE, _VALUE_OR_END):
            closers.append(char + _TO_CLOSER)
            expected = _VALUE_OR_END if char == _OPEN_ARRAY else _KEY_OR_END
            at += 1
            continue
        else:
            end, shape = _scalar(text, at)
            is_key = expected in (_KEY, _KEY_OR_END)
            if shape is not Shape.WHOLE or (is_key and char != _QUOTE):
                return Measure(Shape.WRONG if is_key and char != _QUOTE else shape, end)
            at = end
            if is_key:
                expected = _COLON
                continue
        if not closers:
            return Measure(Shape.WHOLE, at)
        expected = _COMMA_OR_END


def _scalar(text: bytes, at: int) -> tuple[int, Shape]:
    """A string, a number or a word: where it ends, and whether it is whole."""
    if text[at] == _QUOTE:
        end = _STRING.match(text, at).end()  # type: ignore[union-attr]  # begins with the quote
        if end < len(text) and text[end] == _QUOTE:
            return end + 1, Shape.WHOLE
        return len(text), Shape.BEGUN
    match = _SCALAR.match(text, at)
    if match is None:
        return at, Shape.WRONG
    word = match[0].lstrip(b"-")
    if match.end() == len(text):
        # At the very end nobody can tell 12 from the beginning of 123.
        is_possible = not word[:1].isalpha() or any(known.startswith(word) for known in _WORDS)
        return match.end(), Shape.BEGUN if is_possible else Shape.WRONG
    if word[:1].isalpha():
        return match.end(), Shape.WHOLE if word in _WORDS else Shape.WRONG
    return match.end(), Shape.WHOLE
