"""Joins a stack trace that was printed line by line, so that Lambda sends a record for each line. Pure; never raises.

Lines are joined only within one post: nothing is held back for lines that may never come. They are joined only if the
text that results contains an exception with its stack trace; others stay as they were sent.
"""

import re
from collections.abc import Sequence
from typing import Any

from telemetry_forwarder.conversion.lookahead import Lookahead
from telemetry_forwarder.diagnostics import is_own_line
from telemetry_forwarder.log_formats import severity
from telemetry_forwarder.log_formats.parser import is_wrapper, read_line
from telemetry_forwarder.log_formats.stack_traces import STACKTRACE
from telemetry_forwarder.telemetry.records import LogLine

# A process prints a stack trace at once, and Lambda's times are in milliseconds.
_MAX_GAP_NS = 5_000_000
# With little CPU, long traces take longer.
_MAX_DURATION_NS = 100_000_000
_MAX_LINES = 1_000
# What Lambda itself allows in one record.
_MAX_LENGTH = 262_144

# Of a line of text that Lambda has wrapped: time, level, message.
_WRAPPED_KEYS = 3

_SPACE = " \t\u00a0"
# The first characters of the lines below, or none; and of those behind a message that may be anything.
_FIRST = frozenset({""}).union(_SPACE + "\r\n^~TafCS.-FgcrsntDNe}]#/>")
_BEFORE = frozenset(_SPACE + "^~ns")
_BRACKETED = ("[signal ", "[stacktrace]")
_FOLLOWING = (
    *_BRACKETED,
    *("at ", "from ", "Caused by: ", "Suppressed: ", "... ", "--- End of ", "---> ", 'File "', '> File "', "^", "~"),
    *("goroutine ", "created by ", "runtime stack:", "exit status ", "stack backtrace:", "note: "),
    *("Stack trace:", "thrown in ", "Node.js v", "}", "]"),
    *("During handling of the above exception", "The above exception was the direct cause"),
)
_CHAINED = _FOLLOWING[-2:]
_TRACEBACK = "Traceback (most recent call last):"
_LEADING = ("Exception in thread ", "Exception ignored in", "LAMBDA_WARNING: Unhandled exception")
_GO = ("panic: ", "fatal error: ", "goroutine ", "runtime: ")
# Node.js prints the place, the source and a marker before the exception.
_SOURCES = ("/", "file:///", "node:")

# Compiled when they are first needed, not at the start.
_TYPE = r"[\w.$]{0,200}(?:Error|Exception|Throwable)\b"
_PYTHON_END = r"[^\W\d][\w.]{0,200}(?:: |$)"
_RUBY_FRAME = r"[^\s:]{1,300}\.rb:\d{1,7}:in [`'][^']{1,200}'$"


class _Run:
    """A line, and those after it that may be its stack trace."""

    def __init__(self, first: str) -> None:
        self.lines = [first]
        self._first = first
        self._last = first
        """The last line that is not blank."""
        self._is_alone = True
        """Whether only blank lines follow the first."""
        self._is_traceback = _is_traceback(first)
        """Whether frames of Python are expected, and then its exception, which a group has within its margin."""
        self._is_group = first[0] in _SPACE
        self._is_go = first.startswith(_GO)

    @property
    def is_complete(self) -> bool:
        return self._first == "{" and self._last == "}"

    def accepts(self, text: str, after: str) -> bool:
        """Return whether *text*, which *after* follows, continues the run."""
        if not text or text.isspace():
            return True
        if _is_traceback(text) and not self._is_alone:
            return self._is_traceback or self._last.startswith(_CHAINED)
        if self._is_alone and _begins_trace(text, after):
            return self._leads(text)
        if text[0] in _SPACE or text.startswith(_FOLLOWING):
            return True
        return (
            (self._is_traceback and self._ends_traceback(text))
            or (self._is_go and (text[-1] == ")" or text.startswith(_GO)))
            or ("\t" not in text and self._announces(after))
            or (text[0] == "#" and text[1:2].isdigit())
            or re.match(_RUBY_FRAME, text) is not None
        )

    def add(self, text: str) -> None:
        self.lines.append(text)
        if text and not text.isspace():
            self._is_traceback = _is_traceback(text) or (self._is_traceback and text[0] in _SPACE + ">")
            self._is_group = text[0] in _SPACE if _is_traceback(text) else self._is_group
            self._is_go = self._is_go or text.startswith(_GO)
            self._last = text
            self._is_alone = False

    def _leads(self, text: str) -> bool:
        """Return whether the first line belongs to the exception that begins with *text*."""
        # Java's runtime client: `message: class`, then the stack trace, which begins with the class.
        name = self._first.rpartition(": ")[2]
        if ("." in name and text.startswith(name)) or self._first.startswith(_LEADING):
            return True
        line = read_line(self._first)
        # Below ERROR, lines of a runtime's own format take the fast path, which joins none.
        return line.severity_number >= (severity.ERROR if line.has_runtime_format else severity.from_name("WARN"))

    def _ends_traceback(self, text: str) -> bool:
        return not self._is_group and self._last[0] in _SPACE and re.match(_PYTHON_END, text) is not None

    def _announces(self, after: str) -> bool:
        """Return whether any text can follow the last line: the message of Rust, or the source of Node.js."""
        if self._is_alone and self._last.startswith("thread '"):
            return self._last[-1] == ":"
        if self._is_alone and self._last.startswith(_SOURCES) and self._last[-1].isdigit():
            return _is_marker(after)
        return _is_marker(self._last)


def collect_lines(line: LogLine, ahead: Lookahead) -> list[LogLine]:
    """Remove the lines that may be the stack trace of *line* from those *ahead*; return them after *line*."""
    first = _single_line(line)
    lines = [line]
    if first and not first.isspace():
        run = _Run(first)
        _extend(run, lines, ahead)
        while run.lines[-1].strip() == "":
            run.lines.pop()
            lines.pop()
    ahead.remove(len(lines) - 1)
    return lines


def _extend(run: _Run, lines: list[LogLine], ahead: Lookahead) -> None:
    length = len(run.lines[0])
    while not run.is_complete and len(lines) < _MAX_LINES:
        record = ahead.line(len(lines))
        text = _single_line(record) if record is not None and _is_near(record, lines) else None
        if record is None or text is None or length + len(text) >= _MAX_LENGTH:
            return
        if not run.accepts(text, _message(_record(ahead.item(len(lines) + 1))) or ""):
            return
        run.add(text)
        lines.append(record)
        length += len(text) + 1


def join_lines(lines: Sequence[LogLine]) -> LogLine | None:
    """Return *lines* as one; None if their text is no exception with a stack trace."""
    first = lines[0]
    text = "\n".join([_text_of(line.record).rstrip("\r\n") for line in lines])
    parsed = read_line(text)
    # A runtime's own format below ERROR: what was printed after such a line is not a part of it.
    is_other = parsed.has_runtime_format and 0 < parsed.severity_number < severity.ERROR
    if is_other or not (STACKTRACE in parsed.attributes or parsed.is_uncaught_exception):
        return None
    record = {**first.record, "message": text} if type(first.record) is dict else text
    return LogLine(first.origin, first.time_ns, record, first.observed_ns)


def may_follow(ahead: Lookahead) -> bool:
    """Return whether the next line may be part of a stack trace: a cheap test that decides for most lines."""
    try:
        # Without calls: this runs for every line of the general path.
        record, after = ahead.items[-1]["record"], ahead.items[-2]["record"]
    except (IndexError, KeyError, TypeError):
        record, after = _record(ahead.item(1)), _record(ahead.item(2))
        ahead.remove(0)
    text = record if type(record) is str else _message(record)
    if text is None:
        return False
    first = text[:1]
    if first == "[":
        # The runtimes' own lines begin like this, too.
        return text.startswith(_BRACKETED)
    if first in _FIRST:
        return True
    follows = after if type(after) is str else _message(after)
    return follows is not None and follows[:1] in _BEFORE


def announces_message(line: LogLine) -> bool:
    """Return whether any text may follow *line*: the message of Rust's panic, without a note after the first one."""
    text = line.record if type(line.record) is str else _text_of(line.record)
    return text is not None and text.startswith("thread '")


def _record(item: Any) -> Any:
    return item.get("record") if type(item) is dict else getattr(item, "record", None)


def _message(record: Any) -> str | None:
    """Return the text of a record, if it may be a line; of an object, what is the text if Lambda has wrapped it."""
    if type(record) is dict and len(record) == _WRAPPED_KEYS:
        record = record.get("message")
    return record if type(record) is str else None


def _text_of(record: Any) -> Any:
    """Return the text of a line, also if Lambda has wrapped it; None if the record is something else."""
    if type(record) is dict and is_wrapper(record):
        return record["message"]
    return record if type(record) is str else None


def _single_line(line: LogLine) -> str | None:
    """Return the text of *line* without its line end; None if it is no single line, or our own."""
    text = _text_of(line.record)
    if text is None or line.extra or not line.time_ns:
        return None
    text = text.rstrip("\r\n")
    is_own = line.origin == "extension" and is_own_line(text)
    return None if is_own or "\n" in text or "\r" in text else text


def _is_near(record: LogLine, lines: Sequence[LogLine]) -> bool:
    first, last = lines[0], lines[-1]
    is_soon = 0 <= record.time_ns - last.time_ns <= _MAX_GAP_NS
    return is_soon and record.origin == first.origin and record.time_ns - first.time_ns <= _MAX_DURATION_NS


def _is_traceback(text: str) -> bool:
    return text.endswith(_TRACEBACK) and text.lstrip(_SPACE + "+|").startswith(("Trace", "Exception Group "))


def _begins_trace(text: str, after: str) -> bool:
    """Return whether *text* is the first line of an exception, and *after* what follows it."""
    if _is_traceback(text):
        return True
    return after.lstrip(_SPACE).startswith("at ") and re.match(_TYPE, text) is not None


def _is_marker(text: str) -> bool:
    """Return whether *text* marks a place in the source above it."""
    return text.strip(_SPACE + "\r\n") != "" and text.strip("^~ \t\r\n") == ""
