"""Parses text lines of common conventions: the level and the time with which most loggers begin a line. Pure.

One grammar for all of them: a time, names and process ids in brackets or before a separator, and a level; or the level
first. A level in lower case counts only in brackets, between tabs or bars, or before a colon. Repeats are bounded, so
every search is short, however long the line is.
"""

import re
from typing import Any

from telemetry_forwarder.log_formats import exceptions, severity, stack_traces
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, parsed_line
from telemetry_forwarder.telemetry import trace_context
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_CLOCK = (
    r"\d\d:\d\d:\d\d(?:[.,]\d{1,9}Z?)?|\d{1,2}:\d\d(?::\d\d)?(?: ?[AP]M)"
    # Dates that are not read: the day first, without separators, or without a year as syslog's.
    r"|\d\d[-/.](?:\d\d|[A-Z][a-z]{2})[-/.]\d{4}[ T:,]{1,2}\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?[+-]\d{4})?"
    r"|(?:\d{8}[ T-]|\d\d-\d\d )\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?"
)
_EPOCH = r"\d{10}(?:\.\d{1,9})?|\d\.\d{1,20}e\+09"

LEVEL = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL"
_SHORT = "TRC|DBG|INF|WRN|ERR|FTL|PNC|VRB|TRCE|DBUG|FAIL|CRIT|EMERG|TRAC|DEBU|ERRO|FATA|PANI"
_UPPER = f"{LEVEL}|LOG|INFORMATION|SUCCESS|ALERT|EMERGENCY|PANIC|DPANIC|VERBOSE|FINEST|FINER|FINE|CONFIG|{_SHORT}"
_ANY = f"(?i:{_UPPER}|SILLY)"

_SPACE = r"[ \t]{0,4}"
_SEPARATOR = rf"{_SPACE}(?:[-|:,]{_SPACE})?"
# A thread, a process, a logger or a place in the source. Atomic: a row of dashes can be divided in many ways.
_NAME = (
    rf"{_SEPARATOR}(?>{UUID}|\[[^\]\n]{{0,100}}\]|\([^)\n]{{0,40}}\)|[\w.@/-]{{1,80}}\[\d{{1,10}}\]:?"
    rf"|[\w./-]{{1,80}}:\d{{1,6}}:?(?=\s)|main(?= [A-Z])"
    rf"|(?:(?<=[-|:] )|(?<=[-|:]))(?>[\w.$-]{{1,100}})(?={_SPACE}[-|:]))"
)
_AFTER = r"(?=[\s\]:|\[(,/]|$)"
# The level once, since a pattern with all its spellings is large; `_timed` decides where it counts in lower case.
_LEVEL_HERE = (
    rf"{_SEPARATOR}(?:[\w-]{{1,60}}\.)??(?P<open>\[ ?)?(?P<level>{_ANY}(?:[+-]\d{{1,2}})?)"
    rf"(?:(?P<close> {{0,8}}\])|(?P<colon>:(?=\s|$))|(?P<label> [\w.-]{{1,80}} : (?:\w{{1,80}}=|\[))"
    rf"|(?P<bar>{_SPACE}\|)|{_AFTER})"
)
# A logger's label may come first, in brackets.
_LABEL = r"(?:\[[\w.-]{1,60}\] )?"
_TIMED = re.compile(
    rf" {{0,4}}{_LABEL}\[?(?P<time>{TIME}|{_CLOCK}|{_EPOCH})\]?(?:{_NAME}){{0,4}}?{_LEVEL_HERE}", re.ASCII
)
# The same for the most frequent lines, in less time.
_DATED = re.compile(
    rf"\[?(?P<time>{TIME})\]?(?: ?[-|:] ?[\w.$-]{{1,100}})?[ \t]{{0,4}}[-|:]?[ \t]{{0,4}}\[?({LEVEL})\b", re.ASCII
)

_BRACKETED = re.compile(rf"\[ ?({_ANY}) {{0,8}}\](?=[\s:\[]|$)")
# The name of a thread comes first: SLF4J's simple logger, and Log4j 1 after the milliseconds since the start.
_THREAD = re.compile(
    rf"(?:\d{{1,9}} {{1,8}})?\[[^\]\n]{{1,100}}\](?: ({_UPPER})(?=[\s:])| ?\[({_ANY}) {{0,8}}\])", re.ASCII
)
# Node.js itself: (node:8) [DEP0040] DeprecationWarning: message
_NODE_WARNING = re.compile(r"\(node:\d{1,10}\) (?:\[\w{1,20}\] )?\w{0,80}(Warning): ")
# NestJS: process, date, level.
_NEST = re.compile(
    r"\[[A-Z]\w{0,40}\] \d{1,10} {1,4}- \d\d/\d\d/\d{4}, \d{1,2}:\d\d:\d\d [AP]M {1,8}"
    r"(LOG|ERROR|WARN|DEBUG|VERBOSE|FATAL) "
)
# klog: level, month and day, time, thread, place.
_KLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} {1,8}\d{1,10} [\w./-]{1,100}:\d{1,6}\]", re.ASCII)
# Tornado: level, date, time, place.
_TORNADO = re.compile(r"\[([DIWEC]) \d{6} \d\d:\d\d:\d\d [\w./-]{1,100}:\d{1,6}\]", re.ASCII)
# Syslog: facility and severity (RFC 5424, 6.2.1), then a version, a time or a program.
_SYSLOG = re.compile(
    r"<(\d{1,3})>(?:1 (?:\d{4}-|- )|[A-Z][a-z]{2} [ \d]\d \d|[\w./-]{1,60}(?:\[\d{1,10}\]:?|:) )", re.ASCII
)
_SYSLOG_LEVELS = ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")
# Python's own convention without a time: `name - LEVEL - message`.
_NAMED = re.compile(rf"[\w.$/-]{{1,80}} - ({_UPPER}) - ")
_JAVA_UTIL = re.compile(
    rf"[A-Z][a-z]{{2}} \d{{1,2}}, \d{{4}},? \d{{1,2}}:\d\d:\d\d[ \u202f][AP]M [^\n]{{1,300}}\n({_UPPER}):"
)
_PHP = re.compile(r"PHP (Fatal error|Parse error|Warning|Notice|Deprecated):")
_FIRST_UPPER = re.compile(
    rf" {{0,4}}(?:({LEVEL}|PANIC|DPANIC)(?=[ \t]{{1,4}}[^\s])|({_UPPER}):|(INFO|WARN|{_SHORT})\[(?:\d{{4}}|{TIME})\])"
)
_FIRST_LOWER = re.compile(
    r"(trace|debug|verbose|info|http|notice|warn|warning|error|fatal|critical|crit|alert|emerg|silly|trce|dbug|fail)"
    r"(?::(?= {1,20}\S)(?! {1,20}(?:\d{1,9}|true|false|on|off|none|null|yes|no)\s{0,4}(?:[,;]|\w{1,20}:|\Z))"
    r"| {1,4}[-|] )"
)
# By the first character of the line.
_FIRST: dict[str, tuple[re.Pattern[str], ...]] = {
    "[": (_BRACKETED, _THREAD, _NEST, _TORNADO),
    "(": (_NODE_WARNING,),
    **dict.fromkeys("0123456789", (_THREAD,)),
    **dict.fromkeys("TCV ", (_FIRST_UPPER,)),
    **dict.fromkeys("IWEF", (_FIRST_UPPER, _KLOG, _JAVA_UTIL)),
    **dict.fromkeys("JMASOND", (_FIRST_UPPER, _JAVA_UTIL)),
    "P": (_FIRST_UPPER, _PHP),
    **dict.fromkeys("tdvihnwefcas", (_FIRST_LOWER,)),
}
_TIMED_FIRST = frozenset("0123456789[ JFMASOND")

_LOGFMT = re.compile(r"[A-Za-z_@][\w.@-]{0,63}=")
_LOGFMT_LEVEL = re.compile(r"""(?:^|\s)(?:level|lvl)=["']?([A-Za-z]{3,11}(?:[+-]\d{1,2})?)\b""")
_LOGFMT_TIME = re.compile(r"""(?:^|\s)(?:time|ts|timestamp)=["']?([\w.:+-]{10,40})""")

# Ids that a line names, in its first characters.
_MAX_LABELLED = 2_000
_REQUEST_ID = re.compile(rf"(?i:request_?id)\"?(?:=|: ?)\"?({UUID})\b")
_TRACE_IDS = re.compile(r"(?i:traceparent|dd\.trace_id|trace_?id)\"?(?:=|: ?)[\"']?([\w=;.-]{16,120})")
_SPAN_ID = re.compile(r"(?i:span_?id)\"?(?:=|: ?)[\"']?(\w{16,20})\b")
# An error that Rust's runtime client logs.
_RUST_CLIENT = re.compile(r"[ :]lambda_runtime(?:::\w{1,60}){0,4}: (.*)", re.DOTALL)


_ENDS = ("Unhandled ", "thread '", "panic: ", "fatal error: ", "Fatal error: ", "PHP ")
# Go ends a program like this, with or without the stacks of its goroutines.
_GO_PANIC = re.compile(r"(panic|fatal error): ([^\n]*)")


Prefix = tuple[str, int, int]
"""Level, time (0 if there is none, or no date), and where the level ends."""


class TextLine:
    """A line of text, and where the reading can go on."""

    __slots__ = ("line", "prefix", "rest")

    def __init__(self, line: ParsedLine, rest: str = "", *, prefix: str = "") -> None:
        self.line = line
        self.rest = rest
        """What follows the prefix; empty if nothing more can be read."""
        self.prefix = prefix
        """Of a common convention: the prefix, which is still part of the body."""


def read_convention(text: str) -> TextLine | None:
    """Parse a line of a common convention, whose body stays complete."""
    prefix = _find_prefix(text)
    if prefix is None:
        return None
    level, time_ns, end = prefix
    line = parsed_line(text, severity_number=severity.from_name(level), severity_text=level, time_ns=time_ns)
    if "race" in text or "equest" in text:
        line = read_labelled_ids(line)
    if line.severity_number >= severity.ERROR:
        if "lambda_runtime" in text[:_MAX_LABELLED]:
            line = _rust_error(line, text)
        elif exception := stack_traces.find_quoted(text):
            line = line.replace(attributes=exception)
    return TextLine(line, text[end:], prefix=text[:end])


def _rust_error(line: ParsedLine, text: str) -> ParsedLine:
    match = _RUST_CLIENT.search(text, 0, _MAX_LABELLED)
    if match is None:
        return line
    exception = {stack_traces.MESSAGE: text[match.start(1) :]}
    return line.replace(attributes=exception, is_uncaught_exception=True)


def read_labelled_ids(line: ParsedLine) -> ParsedLine:
    """Read the ids that the text names: `requestId="…"`, `traceparent=…`, `dd.trace_id=…`."""
    text = line.body
    head = text[:_MAX_LABELLED]
    changes: dict[str, Any] = {}
    if request := _REQUEST_ID.search(head):
        changes["request_id"] = request[1]
    if trace := _TRACE_IDS.search(head):
        ids = trace_context.parse_trace_ids(trace[1])
        trace_id = ids[0] or trace_context.parse_decimal_id(trace[1], digits=32)
        span = _SPAN_ID.search(head) if trace_id else None
        span_id = ids[1] or (
            trace_context.parse_span_id(span[1]) or trace_context.parse_decimal_id(span[1], digits=16) if span else ""
        )
        changes |= {"trace_id": trace_id, "span_id": span_id}
    return line.replace(**changes) if changes else line


def read_end_of_process(text: str) -> ParsedLine | None:
    """Parse what a process prints that ends because of an exception."""
    if not text.startswith(_ENDS):
        return None
    if exception := exceptions.parse_ended(text):
        return parsed_line(text, severity_number=21, attributes=exception, is_uncaught_exception=True)
    match = _GO_PANIC.match(text)
    if match is None:
        return None
    # One line alone may be a message; with the stacks of the goroutines it is the end of the process.
    stack = stack_traces.find_exception(text)
    exception = stack or stack_traces.describe(match[1], match[2], "")
    number = severity.from_name(match[1])
    return parsed_line(
        text,
        severity_number=number,
        severity_text=match[1],
        attributes=exception,
        is_uncaught_exception=stack is not None,
    )


def _find_prefix(text: str) -> Prefix | None:
    """Return the prefix of *text*; None if it has no level in one of the known places."""
    first = text[:1]
    if first in _TIMED_FIRST and (prefix := _timed(text)):
        return prefix
    for pattern in _FIRST.get(first, ()):
        if match := pattern.match(text):
            return match[match.lastindex or 0], 0, match.end()
    if first == "<" and (match := _SYSLOG.match(text)):
        return _SYSLOG_LEVELS[int(match[1]) & 7], 0, match.end()
    if " - " in text and (match := _NAMED.match(text)):
        return match[1], 0, match.end()
    # `level=` or `lvl=`; the search is cheap, and nearly always decides.
    return _logfmt(text) if "l=" in text else None


def _timed(text: str) -> Prefix | None:
    if match := _DATED.match(text):
        return match[2], parse_time_ns(match[1]), match.end()
    match = _TIMED.match(text)
    if match is None:
        return None
    level, time = match["level"], match["time"]
    if not level.isupper() and not _is_delimited(match, text):
        return None
    return level, parse_time_ns(float(time) if "e+" in time else time), match.end("level")


def _is_delimited(match: re.Match[str], text: str) -> bool:
    """Return whether a level in lower case is one, and not a word of the message."""
    before, after = text[match.start("level") - 1], text[match.end("level") : match.end("level") + 1]
    if match["colon"] or match["label"]:
        # Go's log package writes no level, so there it is the message.
        return "/" not in match["time"]
    is_enclosed = match["open"] and match["close"]
    return bool(is_enclosed or (before == after == "\t") or (match["bar"] and before in "| "))


def _logfmt(text: str) -> Prefix | None:
    if not _LOGFMT.match(text):
        return None
    level = _LOGFMT_LEVEL.search(text)
    if level is None or not severity.from_name(level[1]):
        return None
    time = _LOGFMT_TIME.search(text)
    return level[1], parse_time_ns(time[1]) if time else 0, len(text)
