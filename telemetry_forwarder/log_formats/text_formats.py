"""Knows the text formats of Lambda's runtimes and of common loggers. Pure; never raises; loses nothing.

There are two kinds. Where the format is a runtime's own, what was read is taken out of the body. Where it is
only a common habit, level and timestamp are read and the body stays whole. All else is the body, untouched.
"""

import re
from typing import Any

from telemetry_forwarder.log_formats import exceptions, severity
from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.telemetry import trace_context
from telemetry_forwarder.telemetry.timestamps import time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_MOMENT = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_LEVEL = r"TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL"

# [INFO] message
_BRACKETED = re.compile(rf"\[({_LEVEL})\][ \t]", re.IGNORECASE)
# 2026-09-22 06:30:00 <id> INFO  Class - message
# 2026-09-22T06:30:03.000Z <id> Task timed out after 3.00 seconds
_JAVA = re.compile(
    rf"({_MOMENT}) ({_UUID}) (?:(Task timed out after )|({_LEVEL}) +(?:([\w.$]+(?::\d+)?) - )?)", re.ASCII
)
# I, [2026-09-22T06:30:00.123456 #8]  INFO <id> -- prog: message
_RUBY = re.compile(
    rf"[A-Z], \[({_MOMENT}) #(\d{{1,10}})\] +([A-Z]+) +(?:({_UUID}) +)?-- ([^:\n]*): ?", re.ASCII
)
# Habits: a timestamp, perhaps a name between separators, a level. Repeats are bounded: a line has up to 256 KiB.
_DATED = re.compile(
    rf"\[?({_MOMENT})\]?(?: ?[-|:] ?[\w.$-]{{1,100}})?[ \t]{{0,4}}[-|:]?[ \t]{{0,4}}\[?({_LEVEL})\b", re.ASCII
)
_PLAIN = re.compile(rf"({_LEVEL}):")
_LOGFMT_LEVEL = re.compile(r'(?:^|\s)level="?([A-Za-z]{3,11})\b')
_LOGFMT_TIME = re.compile(r'(?:^|\s)(?:time|ts)="?([\w.:+-]{10,40})')
# What the platform itself says.
_PLATFORM = re.compile(
    rf"(START |END |REPORT |)RequestId: ({_UUID})\b(?: Error: ([^\r\n]*)(?:\s+([\w.]+)$)?)?"
)
# How Lambda itself begins the end of a runtime; the rest of the world may print an id and an error, too.
_CRASHES = ("Runtime exited", "Runtime.", "Task timed out", "signal: killed")
# As JSON calls it, for an id in a prefix that turns out to be somebody else's.
_REQUEST_ID_KEY = "requestId"
_XRAY = re.compile(r"\tXRAY TraceId: (\S+)\tSegmentId: (\S+)")


def read_text(text: str) -> ParsedLine:
    """What a line of text says, its line end already removed."""
    reader = _READERS.get(text[:1])
    line = reader(text) if reader else None
    return line or _plain(text)


def _plain(text: str) -> ParsedLine:
    if exception := exceptions.of_java(text):
        return ParsedLine(text, severity.ERROR, "", 0, "", {**exception}, "", "", True)
    return ParsedLine(text, 0, "", 0, "", {}, "", "", False)


def _bracketed(text: str) -> ParsedLine | None:
    """Python's and Java's; and dates in brackets."""
    parts = text.split("\t", 3)
    if len(parts) == 4:
        level, moment, request_id, body = parts
        line = _tabbed(level[1:-1], moment, request_id, body) if level[-1] == "]" else None
        if line is not None:
            return line
    match = _BRACKETED.match(text)
    if match is None:
        return _dated(text)
    number = severity.of_name(match[1])
    body = text[match.end() :]
    exception = exceptions.of_python(body) if number == severity.ERROR else None
    return ParsedLine(body, number, match[1], 0, "", {**(exception or {})}, "", "", exception is not None)


def _of_node_or_dotnet(text: str) -> ParsedLine | None:
    """Node's and .NET's; Java's by log4j2; and other lines that begin with a date."""
    parts = text.split("\t", 3)
    if len(parts) == 4 and severity.of_name(parts[2]):
        line = _tabbed(parts[2], parts[0], parts[1], parts[3])
        if line:
            return _with_exception(line)
    return _of_java(text) or _dated(text)


def _tabbed(level: str, moment: str, request_id: str, body: str) -> ParsedLine | None:
    """A line of the four fields that Lambda's runtimes separate by tabs."""
    moment_ns = time_ns(moment)
    if not moment_ns and (moment[4:5] != "-" or moment[10:11] != "T"):
        return None
    # Not always a UUID: emulators have ids of their own, and outside of invocations there is none.
    if len(request_id) > 64 or " " in request_id:
        return None
    if request_id == "undefined":
        request_id = ""
    own_time = ("timestamp", moment) if moment_ns else None
    attributes: dict[str, Any] = {} if moment_ns else {"timestamp": moment}
    number = severity.of_name(level)
    return ParsedLine(
        body, number, level, moment_ns, request_id, attributes, "", "", False, _REQUEST_ID_KEY, True, own_time
    )


def _with_exception(line: ParsedLine) -> ParsedLine:
    if line.severity_number < severity.ERROR:
        return line
    reader = exceptions.of_dotnet if line.severity_text == "fail" else exceptions.of_node
    exception = reader(line.body)
    if exception is None:
        return line
    return line.replaced(attributes={**line.attributes, **exception}, is_exception=True)


def _of_java(text: str) -> ParsedLine | None:
    match = _JAVA.match(text)
    if match is None:
        return None
    moment, request_id, timed_out, level, logger = match.groups()
    if timed_out:
        line = _prefixed(text[match.start(3) :], "ERROR", moment, time_ns(moment), request_id, {})
        return line.replaced(severity_text="")
    attributes = {"logger": logger} if logger else {}
    return _prefixed(text[match.end() :], level, moment, time_ns(moment), request_id, attributes)


def _of_ruby(text: str) -> ParsedLine | None:
    match = _RUBY.match(text)
    if match is None:
        return None
    moment, process, level, request_id, program = match.groups()
    attributes: dict[str, Any] = {"process.pid": int(process)}
    if program:
        attributes["logger"] = program
    return _prefixed(text[match.end() :], level, moment, time_ns(moment), request_id or "", attributes)


def _prefixed(
    body: str, level: str, moment: str, moment_ns: int, request_id: str, attributes: dict[str, Any]
) -> ParsedLine:
    """A line whose prefix was a runtime's own, and is taken out of the body."""
    own_time = ("timestamp", moment) if moment_ns else None
    if not moment_ns:
        attributes["timestamp"] = moment
    number = severity.of_name(level)
    return ParsedLine(
        body, number, level, moment_ns, request_id, attributes, "", "", False, _REQUEST_ID_KEY, True, own_time
    )


def _dated(text: str) -> ParsedLine | None:
    match = _DATED.match(text)
    if match is None:
        return None
    return ParsedLine(text, severity.of_name(match[2]), match[2], time_ns(match[1]), "", {}, "", "", False)


def _worded(text: str) -> ParsedLine | None:
    """Lines that begin with a word in capitals: Ruby's, the platform's, and plain levels."""
    if text[1:4] == ", [":
        return _of_ruby(text)
    if match := _PLAIN.match(text):
        return ParsedLine(text, severity.of_name(match[1]), match[1], 0, "", {}, "", "", False)
    match = _PLATFORM.match(text)
    return _of_platform(text, match) if match else None


def _of_platform(text: str, match: re.Match[str]) -> ParsedLine:
    record, request_id, error, error_type = match.groups()
    if not record and error:
        attributes = {exceptions.MESSAGE: error}
        if error_type:
            attributes[exceptions.TYPE] = error_type
        is_crash = error.startswith(_CRASHES) or (error_type or "").startswith("Runtime.")
        return ParsedLine(
            text, severity.ERROR, "", 0, request_id, attributes, "", "", is_crash, has_runtime_format=is_crash
        )
    xray = _XRAY.search(text, match.end()) if record == "REPORT " else None
    trace_id = trace_context.trace_id(xray[1]) if xray else ""
    span_id = trace_context.span_id(xray[2]) if xray and trace_id else ""
    return ParsedLine(text, 0, "", 0, request_id, {}, trace_id, span_id, False)


def _logfmt(text: str) -> ParsedLine | None:
    level = _LOGFMT_LEVEL.search(text) if text.startswith(("time=", "ts=", "level=")) else None
    number = severity.of_name(level[1]) if level else 0
    if level is None or not number:
        return None
    moment = _LOGFMT_TIME.search(text)
    moment_ns = time_ns(moment[1]) if moment else 0
    return ParsedLine(text, number, level[1], moment_ns, "", {}, "", "", False)


_READERS: "dict[str, Callable[[str], ParsedLine | None]]" = {
    "[": _bracketed,
    **dict.fromkeys("0123456789", _of_node_or_dotnet),
    # Ruby's A and U are for anything else.
    **dict.fromkeys("ACDEFINRSTUW", _worded),
    **dict.fromkeys("lt", _logfmt),
}
