"""Distinguishes a complete JSON value from the beginning of one, and from invalid JSON. Pure; never raises.

A parser only reports that a text is not JSON. To join the parts of a cut record more is needed: whether the text could
become JSON with more bytes, and where a complete value ends. https://www.rfc-editor.org/rfc/rfc8259
"""

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Status(Enum):
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """Valid so far: more bytes could complete it."""
    INVALID = "invalid"


class Scan(NamedTuple):
    status: Status
    end: int
    """The first byte after the value, if it is complete."""


_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_WORD = re.compile(rb"[-+.0-9A-Za-z]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_INCOMPLETE_NUMBER = re.compile(rb"-?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d*)?)?")
# The last three are not JSON, but Python and JavaScript write them.
_NAMES = (b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity")

_QUOTE, _COLON_SIGN, _COMMA_SIGN, _OPEN_ARRAY, _CLOSE_ARRAY = b'":,[]'
# In ASCII each closing bracket is two characters after the opening one.
_TO_CLOSER = 2

# What the grammar allows next.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _COMMA_OR_END, _NOTHING = range(7)
_ENDS = (_VALUE_OR_END, _KEY_OR_END, _COMMA_OR_END)
_AFTER_WORD = {_VALUE: _COMMA_OR_END, _VALUE_OR_END: _COMMA_OR_END}
_AFTER_STRING = {**_AFTER_WORD, _KEY: _COLON, _KEY_OR_END: _COLON}

# Values up to this nesting are matched by one pattern: large records consist mostly of them.
_FLAT_DEPTH = 2
# A repeat remembers each of its iterations, so longer values are matched member by member.
_MAX_FLAT_MEMBERS = 1_000


def scan(text: bytes, start: int = 0) -> Scan:
    """Find the JSON value that begins at *start*, in time proportional to its length."""
    match_flat = _flat_value().match
    closers: list[int] = []
    expected = _VALUE
    at = start
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches anywhere
        if at == len(text):
            return Scan(Status.INCOMPLETE, at)
        char = text[at]
        status = Status.COMPLETE
        if expected in _AFTER_WORD and (flat := match_flat(text, at)):
            expected, at = _COMMA_OR_END, flat.end()
        elif char in b"[]{},:":
            expected = _after_sign(char, expected, closers)
            at += 1
        else:
            expected = (_AFTER_STRING if char == _QUOTE else _AFTER_WORD).get(expected, _NOTHING)
            status, at = _string(text, at) if char == _QUOTE else _word(text, at)
        if expected == _NOTHING:
            return Scan(Status.INVALID, at)
        if status is not Status.COMPLETE or (expected == _COMMA_OR_END and not closers):
            return Scan(status, at)


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


def _string(text: bytes, at: int) -> Scan:
    end = _STRING.match(text, at).end()  # type: ignore[union-attr]  # begins with the quote
    if end < len(text) and text[end] == _QUOTE:
        return Scan(Status.COMPLETE, end + 1)
    return Scan(Status.INCOMPLETE, len(text))


def _word(text: bytes, at: int) -> Scan:
    """Scan a number or a name such as `true`."""
    end = _WORD.match(text, at).end()  # type: ignore[union-attr]  # matches anywhere
    word = text[at:end]
    if end == len(text):
        # At the end of the text, 12 may be the beginning of 123.
        is_valid = _INCOMPLETE_NUMBER.fullmatch(word) or any(name.startswith(word) for name in _NAMES)
        return Scan(Status.INCOMPLETE if is_valid else Status.INVALID, end)
    is_complete = word in _NAMES or _NUMBER.fullmatch(word)
    return Scan(Status.COMPLETE if is_complete else Status.INVALID, end)


# Compiled on first use: few environments ever receive a cut record.
@lru_cache(maxsize=1)
def _flat_value() -> re.Pattern[bytes]:
    """Return a pattern for a complete value of limited depth, much faster than scanning step by step.

    Groups are atomic and not possessive: before 3.11.5 Python continues at the wrong place after a possessive group
    that has failed. https://github.com/python/cpython/issues/106052
    """
    space = r"[ \t\r\n]*+"
    string = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    number = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?"
    value = rf"(?:{string}|(?:{number}|true|false|null)(?=[ \t\r\n,\]}}]))"
    for _ in range(_FLAT_DEPTH):
        member = rf"{string}{space}:{space}{value}"
        value = rf"(?:{value}|{_enclosed('[', value, ']')}|{_enclosed('{', member, '}')})"
    return re.compile(value.encode(), re.DOTALL)


def _enclosed(opening: str, member: str, closing: str) -> str:
    """Return a pattern for *member* repeated: a comma between two of them, and none before the closing bracket."""
    space = r"[ \t\r\n]*+"
    repeated = rf"{member}{space}(?:,{space}(?!\{closing})|(?=\{closing}))"
    return rf"\{opening}{space}(?>(?:{repeated}){{0,{_MAX_FLAT_MEMBERS}}})\{closing}"
