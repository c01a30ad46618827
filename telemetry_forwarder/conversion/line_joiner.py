"""Joins a stack trace that was printed line by line, so that Lambda sends a record for each line. Pure; never raises.

Lines are joined only within one post: nothing is held back for lines that may never come. They are joined only if the
text that results contains an exception with its stack trace, or if a logger writes two lines for each record; others
stay as they were sent.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from telemetry_forwarder.conversion.lookahead import Lookahead
from telemetry_forwarder.conversion.trace_lines import BRACKETED, SPACE, TraceLines, is_pair
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

# The first characters of the lines that may follow, or none; and of those behind a message that may be anything.
_FIRST = frozenset({""}).union(SPACE + "\r\n^~TafCS.-FgcrsntDNe}]#/>")
_BEFORE = frozenset(SPACE + "^~ns")
_MONTHS = frozenset(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"))


def collect_lines(line: LogLine, ahead: Lookahead) -> list[LogLine]:
    """Remove the lines that may be the stack trace of *line* from those *ahead*; return them after *line*."""
    first = _single_line(line)
    lines = [line]
    if first and not first.isspace():
        run = TraceLines(first)
        _extend(run, lines, ahead)
        while run.lines[-1].strip() == "":
            run.lines.pop()
            lines.pop()
    ahead.remove(len(lines) - 1)
    return lines


def _extend(run: TraceLines, lines: list[LogLine], ahead: Lookahead) -> None:
    length = len(run.lines[0])
    while not run.is_complete and len(lines) < _MAX_LINES:
        record = ahead.line(len(lines))
        text = _single_line(record) if record is not None and _is_near(record, lines) else None
        if record is None or text is None or length + len(text) >= _MAX_LENGTH:
            return
        following = partial(_following, ahead, len(lines))
        if not run.accepts(text, following):
            return
        run.add(text)
        lines.append(record)
        length += len(text) + 1


def _following(ahead: Lookahead, at: int, number: int) -> str:
    return _message(_record(ahead.item(at + number))) or ""


def join_lines(lines: Sequence[LogLine]) -> LogLine | None:
    """Return *lines* as one; None if their text is no exception with a stack trace."""
    first = lines[0]
    texts = [_text_of(line.record).rstrip("\r\n") for line in lines]
    text = "\n".join(texts)
    parsed = read_line(text)
    # A runtime's own format below ERROR: what was printed after such a line is not a part of it.
    is_other = parsed.has_runtime_format and 0 < parsed.severity_number < severity.ERROR
    if is_other or not (is_pair(texts) or STACKTRACE in parsed.attributes or parsed.is_uncaught_exception):
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
        return text.startswith(BRACKETED)
    if first in _FIRST:
        return True
    follows = after if type(after) is str else _message(after)
    return follows is not None and follows[:1] in _BEFORE


def announces_message(line: LogLine) -> bool:
    """Return whether any text may follow *line*: more of an exception's message, or the second line of a pair."""
    text = line.record if type(line.record) is str else _text_of(line.record)
    if text is None:
        return False
    return "rror" in text or "xception" in text or text.startswith(("thread '", "panic: ")) or text[:3] in _MONTHS


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
