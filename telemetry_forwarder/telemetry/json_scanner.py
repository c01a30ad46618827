"""Tells a whole JSON value from the beginning of one, and from no JSON at all. Pure; never raises.

A parser only says that a text is not JSON. To join what Lambda cut we must know more: whether what we have could
still become JSON with more bytes, and if it is whole, where it ends. https://www.rfc-editor.org/rfc/rfc8259
"""

import re
from enum import Enum
from functools import lru_cache
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
_WORD = re.compile(rb"[-+.0-9A-Za-z]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_BEGUN_NUMBER = re.compile(rb"-?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d*)?)?")
# The last three are no JSON, but what Python and JavaScript print for it.
_NAMES = (b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity")

_QUOTE, _COLON_SIGN, _COMMA_SIGN, _OPEN_ARRAY, _CLOSE_ARRAY = b'":,[]'
# In ASCII each closing bracket stands two places behind the opening one.
_TO_CLOSER = 2

# What may come next, by what came last.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _COMMA_OR_END, _NOTHING = range(7)
_ENDS = (_VALUE_OR_END, _KEY_OR_END, _COMMA_OR_END)
# Read at once: values nested at most so deep. Large records are mostly made of them.
_FLAT_DEPTH = 2
_AFTER_WORD = {_VALUE: _COMMA_OR_END, _VALUE_OR_END: _COMMA_OR_END}
_AFTER_STRING = {**_AFTER_WORD, _KEY: _COLON, _KEY_OR_END: _COLON}


def measure(text: bytes, start: int = 0) -> Measure:
    """Find the JSON value that begins at *start*. Takes time in proportion to its length."""
    match_flat = _flat_value().match
    closers: list[int] = []
    expected = _VALUE
    at = start
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches anywhere
        if at == len(text):
            return Measure(Shape.BEGUN, at)
        char = text[at]
        shape = Shape.WHOLE
        if expected in _AFTER_WORD and (flat := match_flat(text, at)):
            expected, at = _COMMA_OR_END, flat.end()
        elif char in b"[]{},:":
            expected = _after_sign(char, expected, closers)
            at += 1
        else:
            expected = (_AFTER_STRING if char == _QUOTE else _AFTER_WORD).get(expected, _NOTHING)
            shape, at = _string(text, at) if char == _QUOTE else _word(text, at)
        if expected == _NOTHING:
            return Measure(Shape.WRONG, at)
        if shape is not Shape.WHOLE or (expected == _COMMA_OR_END and not closers):
            return Measure(shape, at)


# Compiled when it is needed: few environments ever see a cut record.
@lru_cache(maxsize=1)
def _flat_value() -> re.Pattern[bytes]:
    """Matches a whole value that is not nested deeper than a few levels, ten times as fast as step by step."""
    space = r"[ \t\r\n]*+"
    string = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    number = r"-?+(?:0|[1-9]\d*+)(?:\.\d++)?+(?:[eE][-+]?+\d++)?+"
    value = rf"(?:{string}|(?:{number}|true|false|null)(?=[ \t\r\n,\]}}]))"
    for _ in range(_FLAT_DEPTH):
        # A comma only before another member, and no member without a comma or the end behind it.
        array = rf"\[{space}(?:{value}{space}(?:,{space}(?!\])|(?=\])))*+\]"
        member = rf"{string}{space}:{space}{value}"
        object_ = rf"\{{{space}(?:{member}{space}(?:,{space}(?!\}})|(?=\}})))*+\}}"
        value = rf"(?:{value}|{array}|{object_})"
    return re.compile(value.encode(), re.DOTALL)


def _after_sign(char: int, expected: int, closers: list[int]) -> int:
    if char in b"[{" and expected in (_VALUE, _VALUE_OR_END):
        closers.append(char + _TO_CLOSER)
        return _VALUE_OR_END if char == _OPEN_ARRAY else _KEY_OR_END
    if char in b"]}" and expected in _ENDS and closers[-1] == char:
        closers.pop()
        return _COMMA_OR_END
    if char == _COLON_SIGN and expected == _COLON:
        return _VALUE
    if char == _COMMA_SIGN and expected == _COMMA_OR_END:
        return _VALUE if closers[-1] == _CLOSE_ARRAY else _KEY
    return _NOTHING


def _string(text: bytes, at: int) -> Measure:
    end = _STRING.match(text, at).end()  # type: ignore[union-attr]  # begins with the quote
    if end < len(text) and text[end] == _QUOTE:
        return Measure(Shape.WHOLE, end + 1)
    return Measure(Shape.BEGUN, len(text))


def _word(text: bytes, at: int) -> Measure:
    """A number, or true and its kin."""
    end = _WORD.match(text, at).end()  # type: ignore[union-attr]  # matches anywhere
    word = text[at:end]
    if end == len(text):
        # At the very end nobody can tell 12 from the beginning of 123.
        is_begun = _BEGUN_NUMBER.fullmatch(word) or any(name.startswith(word) for name in _NAMES)
        return Measure(Shape.BEGUN if is_begun else Shape.WRONG, end)
    is_whole = word in _NAMES or _NUMBER.fullmatch(word)
    return Measure(Shape.WHOLE if is_whole else Shape.WRONG, end)
