"""Parses text lines of common conventions: the level and the time with which most loggers begin a line. Pure.

One grammar for all of them: a time, names and process ids in brackets or before a separator, and a level; or the level
first. A level in lower case counts only in brackets, between tabs or bars, or before a colon. Repeats are bounded, so
every search is short, however long the line is.
"""

import re

from telemetry_forwarder.log_formats import exceptions, severity, stack_traces
from telemetry_forwarder.log_formats.parsed_line import UUID, ParsedLine, parsed_line, read_labelled_ids
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_CLOCK = (
    r"\d\d:\d\d:\d\d(?:[.,]\d{1,9}Z?)?|\d{1,2}:\d\d(?::\d\d)?(?: ?[AP]M|(?=\]))"
    # Dates that are not read: in two brackets, the day first, without separators, or without a year as syslog's.
    r"|\d{4}[-.]\d\d[-.]\d\d(?:\]\[| {1,2})\d{1,2}:\d\d:\d\d|\d{6} {1,2}\d{1,2}:\d\d:\d\d"
    r"|\d\d[-/.](?:\d\d|[A-Z][a-z]{2})[-/.]\d{4}[ T:,]{1,2}\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?[+-]\d{4}| UTC)?"
    r"|(?:\d{8}[ T-]|\d\d-\d\d )\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?(?: \d{4})?"
)
_EPOCH = r"\d{10}(?:\.\d{1,9})?|\d\.\d{1,20}e\+09"

LEVEL = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL"
# These are no words, and count wherever a level of full length does.
_SHORT = "TRC|DBG|INF|WRN|ERR|FTL|PNC|VRB|TRCE|DBUG|TRAC|DEBU|ERRO|EROR|FATA|PANI|DPANIC|PANIC|SUCCESS"
_UPPER = f"{LEVEL}|LOG|INFORMATION|ALERT|EMERGENCY|VERBOSE|FINEST|FINER|FINE|CONFIG|FAIL|CRIT|EMERG|{_SHORT}"
_ANY = f"(?i:FATAL ERROR|PARSE ERROR|DEPRECATED|{_UPPER}|SILLY|NOTE)"

_SPACE = r"[ \t]{0,4}"
_SEPARATOR = rf"{_SPACE}(?:[-|:,]{_SPACE})?"
# A thread, a process, a logger or a place in the source. Atomic: a row of dashes can be divided in many ways.
_NAME = (
    rf"{_SEPARATOR}(?>{UUID}|\[[^\]\n]{{0,100}}\]|<[^>\n]{{0,60}}>|\([^)\n]{{0,40}}\)|[\w.@/-]{{1,80}}\[[\w-]{{1,60}}\]:?"
    rf"|[\w./-]{{1,80}}:\d{{1,6}}:?(?=\s)|main(?= [A-Z])|[\w.-]{{1,60}}@[\w.-]{{1,60}}(?= [A-Z])|\d{{1,8}}(?= \[)"
    rf"|(?:(?<=[-|:] )|(?<=[-|:]))(?>[\w.$-]{{1,100}})(?={_SPACE}[-|:]))"
)
_AFTER = r"(?=[\s\]:|\[(,/]|$)"
# The level once, since a pattern with all its spellings is large; `_timed` decides where it counts in lower case.
_LEVEL_HERE = (
    rf"{_SEPARATOR}(?:PHP |[\w-]{{1,60}}\.)??(?P<open>[\[<] ?(?:\w{{1,40}}:)?)?(?P<level>{_ANY}(?:[+-]\d{{1,2}})?)"
    rf"(?:(?P<close> {{0,8}}[\]>])|(?P<colon>:(?=\s|$))|(?P<label> [\w.-]{{1,80}} : (?:\w{{1,80}}=|\[))"
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
# Node.js and Python themselves: (node:8) [DEP0040] DeprecationWarning: message
_WARNING = re.compile(
    r"(?:\(node:\d{1,10}\) (?:\[\w{1,20}\] )?|/[^\s:]{1,300}\.py:\d{1,7}: )\w{0,80}(Warning): ", re.ASCII
)
# NestJS: process, date, level.
_NEST = re.compile(
    r"\[[A-Z]\w{0,40}\] \d{1,10} {1,4}- \d\d/\d\d/\d{4}, \d{1,2}:\d\d:\d\d [AP]M {1,8}"
    r"(LOG|ERROR|WARN|DEBUG|VERBOSE|FATAL) "
)
# glog, klog, and Tornado: level, date, time, thread, place.
_GLOG = re.compile(
    rf"\[?([DIWEFC])(?: ?\d{{4,6}} \d\d:\d\d:\d\d(?:\.\d{{6}})?|{TIME}) {{1,8}}"
    r"(?:\d{1,20} )?[\w./-]{1,100}:\d{1,6}\]",
    re.ASCII,
)
# signale: a symbol, the level, and the message in a column.
_SYMBOL = re.compile(rf"\S  ({_ANY}) {{1,9}}\S")
# Syslog: facility and severity (RFC 5424, 6.2.1), then a version, a time or a program; of systemd the severity alone.
_SYSLOG = re.compile(
    r"<([0-7](?=>\S)|\d{1,3}(?=>(?:1 (?:\d{4}-|- )|[A-Z][a-z]{2} [ \d]\d \d|[\w./-]{1,60}(?:\[\d{1,10}\]:?|:) )))>",
    re.ASCII,
)
_SYSLOG_LEVELS = ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")
# Python's own convention without a time: `name - LEVEL - message`.
_NAMED = re.compile(rf"[\w.$/-]{{1,80}} - ({_UPPER}) - ")
_JAVA_UTIL = re.compile(
    rf"[A-Z][a-z]{{2}} \d{{1,2}}, \d{{4}},? \d{{1,2}}:\d\d:\d\d[ \u202f][AP]M [^\n]{{1,300}}\n({_UPPER}):"
)
_PHP = re.compile(r"(?:NOTICE: PHP message: )?PHP (Fatal error|Parse error|Warning|Notice|Deprecated):")
_FIRST_UPPER = re.compile(
    rf" {{0,12}}(?:({LEVEL}|{_SHORT})(?=[ \t]{{1,8}}[^\s])|({_UPPER}):"
    rf"|({_UPPER})\[(?:\d{{4}}|\d\d-\d\d\|[\d:]{{8}}|{TIME})\])"
)
_FIRST_LOWER = re.compile(
    r"(trace|debug|verbose|info|http|notice|warn|warning|error|fatal|critical|crit|alert|emerg|silly|trce|dbug|fail)"
    r"(?::(?= {1,20}\S)(?! {1,20}(?:\d{1,9}|true|false|on|off|none|null|yes|no)\s{0,4}(?:[,;]|\w{1,20}:|\Z))"
    r"| {1,4}[-|] )"
)
# By the first character of the line.
_FIRST: dict[str, tuple[re.Pattern[str], ...]] = {
    "[": (_BRACKETED, _THREAD, _NEST, _GLOG),
    **dict.fromkeys("(/", (_WARNING,)),
    **dict.fromkeys("0123456789", (_THREAD,)),
    **dict.fromkeys("TV ", (_FIRST_UPPER,)),
    **dict.fromkeys("CIWEF", (_FIRST_UPPER, _GLOG, _JAVA_UTIL)),
    **dict.fromkeys("JMASOND", (_PHP, _FIRST_UPPER, _GLOG, _JAVA_UTIL)),
    "P": (_FIRST_UPPER, _PHP),
    **dict.fromkeys("\u2716\u26a0\u2139\u2714\u2b24\u25cf", (_SYMBOL,)),
    **dict.fromkeys("tdvihnwefcas", (_FIRST_LOWER,)),
}
_TIMED_FIRST = frozenset("0123456789[ JFMASOND")

_LOGFMT = re.compile(r"[A-Za-z_@][\w.@-]{0,63}=")
_LOGFMT_LEVEL = re.compile(r"""(?:^|\s)(?:level|lvl|severity)=["']?([A-Za-z]{3,11}(?:[+-]\d{1,2})?)\b""")
_LOGFMT_TIME = re.compile(r"""(?:^|\s)(?:time|ts|timestamp)=["']?([\w.:+-]{10,40})""")

# An error that Rust's runtime client logs: with its target, or directly in its span. The place may be in between.
# https://github.com/aws/aws-lambda-rust-runtime/blob/main/lambda-runtime/src/layers/panic.rs
_RUST_CLIENT = re.compile(
    r"(?:Lambda runtime invoke(?:\{[^}\n]{1,600}\})?: (?!lambda_runtime:)(?P<span>)"
    r"|[ :]lambda_runtime(?:::\w{1,60}){0,4}: )"
    r"(?:/[^\s:]{1,300}:\d{1,6}: )?",
    re.ASCII,
)
_MAX_RUST = 2_000
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
    if "race" in text or "equest" in text or " --- [" in text:
        line = read_labelled_ids(line)
    if line.severity_number >= severity.ERROR:
        if exception := stack_traces.find_quoted(text):
            line = line.replace(attributes=exception)
        elif "ambda" in text and "untime" in text:
            line = _rust_error(line, text)
    return TextLine(line, text[end:], prefix=text[:end])


def _rust_error(line: ParsedLine, text: str) -> ParsedLine:
    match = _RUST_CLIENT.search(text, 0, _MAX_RUST)
    # The compact format has the fields of the span behind the message.
    message = text[match.end() :].partition(' requestId="')[0] if match else ""
    if match is None or (match["span"] is not None and not exceptions.is_rust_error(message)):
        return line
    return line.replace(attributes={stack_traces.MESSAGE: message}, is_uncaught_exception=True)


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
    # `level=`, `lvl=` or `severity=`; the searches are cheap, and nearly always decide.
    return _logfmt(text) if "l=" in text or "ty=" in text else None


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
