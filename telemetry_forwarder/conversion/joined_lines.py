"""Joins the lines of a stack trace that a program has printed line by line: Lambda makes a record of each. Pure.

Only lines of one post that follow each other within a few milliseconds are joined, and never across a platform event,
so the order stays and no invocation gets another one's lines.
"""

import re
from typing import Any

from telemetry_forwarder.telemetry.timestamps import parse_time_ns

_MAX_LINES = 500
_MAX_CHARACTERS = 131_072
_MAX_GAP_NS = 5_000_000
# Of a Telemetry API event: time, type, record.
_MEMBERS = 3
# The beginning of an indented text record, as Lambda writes it.
_INDENTED = (b'"record":" ', b'"record":"\\t')

_TRACEBACK = "Traceback (most recent call last):"
_PYTHON_END = re.compile(r"[^\W\d][\w.]{0,200}(?:: .*)?")
_JAVA_CAUSE = ("Caused by: ", "Suppressed: ", "... ")
_JAVA_CLASS = re.compile(r"(?:[\w$]{1,100}\.){1,12}[\w$]{1,100}")
_GO_HEADS = ("panic: ", "fatal error: ")
_GO_LINE = re.compile(r"goroutine \d|\[signal |created by |exit status |[\w./*()-]{1,300}\(.*\)$|$")
_RUST_LINES = ("stack backtrace:", "note: ")
_CLOSERS = {"{": "}", "[": "]"}


def may_be_split(body: bytes, begin: int, end: int) -> bool:
    """Return whether a part of a post contains a line that may belong to the one before."""
    return any(body.find(indented, begin, end) >= 0 for indented in _INDENTED)


def join_lines(events: list[Any]) -> list[Any]:
    """Return *events* with each group of lines as one event."""
    joined: list[Any] = []
    group: _Group | None = None
    for event in events:
        text = _text_of(event)
        if group is not None and text is not None and group.takes(text, parse_time_ns(event["time"])):
            group.add(text)
            # All lines of a group share the place of the first.
            joined[-1] = group
            continue
        group = None if text is None else _Group(event, text)
        joined.append(event)
    return [one.event_of_all() if isinstance(one, _Group) else one for one in joined]


def _text_of(event: Any) -> str | None:
    """Return the line of the function that *event* is, without its line end; None if it is something else."""
    if not isinstance(event, dict) or len(event) != _MEMBERS or event.get("type") != "function":
        return None
    record = event.get("record")
    return record.removesuffix("\n").removesuffix("\r") if isinstance(record, str) and "time" in event else None


class _Group:
    """A line, and those that belong to it."""

    def __init__(self, event: dict[str, Any], text: str) -> None:
        self._event = event
        self.lines = [text]
        self._characters = len(text)
        self._last_ns = parse_time_ns(event["time"])
        self._has_ended = False

    def takes(self, text: str, time_ns: int) -> bool:
        """Return whether *text* continues the group."""
        is_near = 0 <= time_ns - self._last_ns <= _MAX_GAP_NS
        has_room = len(self.lines) < _MAX_LINES and self._characters + len(text) <= _MAX_CHARACTERS
        if self._has_ended or not is_near or not has_room:
            return False
        self._last_ns = time_ns
        is_indented = text[:1].isspace() and not text.isspace()
        return is_indented or self._ends(text)

    def add(self, text: str) -> None:
        self.lines.append(text)
        self._characters += len(text)

    def event_of_all(self) -> dict[str, Any]:
        return {**self._event, "record": "\n".join([*self.lines, ""])}

    def _ends(self, text: str) -> bool:
        """Return whether a line that is not indented belongs to what its format's first line has begun."""
        head, count = self.lines[0], len(self.lines)
        if head.startswith(_GO_HEADS):
            return _GO_LINE.match(text) is not None
        if head.startswith("thread '") and " panicked at " in head:
            return count == 1 or text.startswith(_RUST_LINES)
        if count == 1:
            # Java's client prints `message: class`, then the stack trace, which begins with the class.
            name = text.partition(":")[0]
            return _JAVA_CLASS.fullmatch(name) is not None and head.endswith(f": {name}")
        if text.startswith(_JAVA_CAUSE):
            return True
        is_end = text == _CLOSERS.get(head) or (head == _TRACEBACK and _PYTHON_END.fullmatch(text) is not None)
        self._has_ended = is_end
        return is_end
