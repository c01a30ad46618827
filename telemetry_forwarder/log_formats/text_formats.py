"""Parses the text formats of Lambda's runtimes and of common loggers. Pure; never raises; loses nothing.

If the format is a runtime's own, its prefix is removed from the body. If it is only a common convention, level and
timestamp are read and the body stays complete. Any other line is the body, unchanged.
"""

import re
from collections.abc import Callable
from typing import Any

from telemetry_forwarder.log_formats import exceptions, severity
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, parsed_line
from telemetry_forwarder.telemetry import trace_context
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_LEVEL = r"TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL"

# [INFO] message
_BRACKETED = re.compile(rf"\[({_LEVEL})\][ \t]", re.IGNORECASE)
# 2026-09-22 06:30:00 <id> INFO  Class - message
# 2026-09-22T06:30:03.000Z <id> Task timed out after 3.00 seconds
_JAVA = re.compile(rf"({_TIME}) ({_UUID}) (?:(Task timed out after )|({_LEVEL}) +(?:([\w.$]+(?::\d+)?) - )?)", re.ASCII)
# I, [2026-09-22T06:30:00.123456 #8]  INFO <id> -- prog: message
_RUBY = re.compile(rf"[A-Z], \[({_TIME}) #(\d{{1,10}})\] +([A-Z]+) +(?:({_UUID}) +)?-- ([^:\n]*): ?", re.ASCII)
# By convention: a timestamp, an optional name between separators, a level. Repeats are bounded: lines can be long.
_DATED = re.compile(
    rf"\[?({_TIME})\]?(?: ?[-|:] ?[\w.$-]{{1,100}})?[ \t]{{0,4}}[-|:]?[ \t]{{0,4}}\[?({_LEVEL})\b", re.ASCII
)
_PLAIN = re.compile(rf"({_LEVEL}):")
_LOGFMT_LEVEL = re.compile(r'(?:^|\s)level="?([A-Za-z]{3,11})\b')
_LOGFMT_TIME = re.compile(r'(?:^|\s)(?:time|ts)="?([\w.:+-]{10,40})')
# The platform's own lines.
_PLATFORM = re.compile(rf"(START |END |REPORT |)RequestId: ({_UUID})\b(?: Error: ([^\r\n]*)(?:\s+([\w.]+)$)?)?")
# How Lambda reports a crashed runtime; a user's line may contain an id and an error, too.
_CRASHES = ("Runtime exited", "Runtime.", "Task timed out", "signal: killed")
_XRAY = re.compile(r"\tXRAY TraceId: (\S+)\tSegmentId: (\S+)")


def read_text(text: str) -> ParsedLine:
    """Parse a line of text without its line end."""
    reader = _READERS.get(text[:1])
    if reader and (line := reader(text)):
        return line
    if exception := exceptions.parse_java(text):
        return parsed_line(text, severity_number=severity.ERROR, attributes={**exception}, is_uncaught_exception=True)
    return parsed_line(text)


def _runtime_line(
    body: str, *, level: str, timestamp: str, request_id: str, attributes: dict[str, Any] | None = None
) -> ParsedLine:
    """Return a line whose prefix was a runtime's own and is removed from the body."""
    time_ns = parse_time_ns(timestamp)
    if not time_ns:
        attributes = {**(attributes or {}), "timestamp": timestamp}
    return parsed_line(
        body,
        severity_number=severity.from_name(level),
        severity_text=level,
        time_ns=time_ns,
        request_id=request_id,
        attributes=attributes,
        request_id_key="requestId",
        has_runtime_format=True,
        own_time=("timestamp", timestamp) if time_ns else None,
    )


def _leveled_line(body: str, *, level: str, time_ns: int = 0) -> ParsedLine:
    """Return a line of a common convention, whose body stays complete."""
    return parsed_line(body, severity_number=severity.from_name(level), severity_text=level, time_ns=time_ns)


def _bracketed(text: str) -> ParsedLine | None:
    """Parse lines of Python and Java, and lines that begin with a date in brackets."""
    parts = text.split("\t", 3)
    if len(parts) == 4:
        level, timestamp, request_id, body = parts
        if level[-1] == "]" and (line := _tabbed(body, level=level[1:-1], timestamp=timestamp, request_id=request_id)):
            return line
    match = _BRACKETED.match(text)
    if match is None:
        return _dated(text)
    line = _leveled_line(text[match.end() :], level=match[1])
    exception = exceptions.parse_python(line.body) if line.severity_number == severity.ERROR else None
    return line if exception is None else line.replace(attributes=exception, is_uncaught_exception=True)


def _node_or_dotnet(text: str) -> ParsedLine | None:
    """Parse lines of Node and .NET, of Java with log4j2, and other lines that begin with a date."""
    parts = text.split("\t", 3)
    if len(parts) == 4 and severity.from_name(parts[2]):
        timestamp, request_id, level, body = parts
        if line := _tabbed(body, level=level, timestamp=timestamp, request_id=request_id):
            return _with_exception(line)
    return _java(text) or _dated(text)


def _tabbed(body: str, *, level: str, timestamp: str, request_id: str) -> ParsedLine | None:
    """Parse a line of the four fields that Lambda's runtimes separate by tabs."""
    looks_dated = timestamp[4:5] == "-" and timestamp[10:11] == "T"
    if not looks_dated and not parse_time_ns(timestamp):
        return None
    # Not always a UUID: emulators have their own ids, and outside of invocations there is none.
    if len(request_id) > 64 or " " in request_id:
        return None
    if request_id == "undefined":
        request_id = ""
    return _runtime_line(body, level=level, timestamp=timestamp, request_id=request_id)


def _with_exception(line: ParsedLine) -> ParsedLine:
    if line.severity_number < severity.ERROR:
        return line
    parse = exceptions.parse_dotnet if line.severity_text == "fail" else exceptions.parse_node
    exception = parse(line.body)
    return (
        line
        if exception is None
        else line.replace(attributes={**line.attributes, **exception}, is_uncaught_exception=True)
    )


def _java(text: str) -> ParsedLine | None:
    match = _JAVA.match(text)
    if match is None:
        return None
    timestamp, request_id, timed_out, level, logger = match.groups()
    if timed_out:
        line = _runtime_line(text[match.start(3) :], level="ERROR", timestamp=timestamp, request_id=request_id)
        return line.replace(severity_text="")
    attributes = {"logger": logger} if logger else None
    return _runtime_line(
        text[match.end() :], level=level, timestamp=timestamp, request_id=request_id, attributes=attributes
    )


def _ruby(text: str) -> ParsedLine | None:
    match = _RUBY.match(text)
    if match is None:
        return None
    timestamp, process, level, request_id, program = match.groups()
    attributes: dict[str, Any] = {"process.pid": int(process)}
    if program:
        attributes["logger"] = program
    return _runtime_line(
        text[match.end() :], level=level, timestamp=timestamp, request_id=request_id or "", attributes=attributes
    )


def _dated(text: str) -> ParsedLine | None:
    match = _DATED.match(text)
    return _leveled_line(text, level=match[2], time_ns=parse_time_ns(match[1])) if match else None


def _capitalised(text: str) -> ParsedLine | None:
    """Parse lines that begin with a word in capitals: Ruby's, the platform's, and plain levels."""
    if text[1:4] == ", [":
        return _ruby(text)
    if match := _PLAIN.match(text):
        return _leveled_line(text, level=match[1])
    match = _PLATFORM.match(text)
    return _platform(text, match) if match else None


def _platform(text: str, match: re.Match[str]) -> ParsedLine:
    record, request_id, error, error_type = match.groups()
    if not record and error:
        attributes = {exceptions.MESSAGE: error, **({exceptions.TYPE: error_type} if error_type else {})}
        is_crash = error.startswith(_CRASHES) or (error_type or "").startswith("Runtime.")
        return parsed_line(
            text,
            severity_number=severity.ERROR,
            request_id=request_id,
            attributes=attributes,
            is_uncaught_exception=is_crash,
            has_runtime_format=is_crash,
        )
    xray = _XRAY.search(text, match.end()) if record == "REPORT " else None
    trace_id = trace_context.parse_trace_id(xray[1]) if xray else ""
    span_id = trace_context.parse_span_id(xray[2]) if xray and trace_id else ""
    return parsed_line(text, request_id=request_id, trace_id=trace_id, span_id=span_id)


def _logfmt(text: str) -> ParsedLine | None:
    level = _LOGFMT_LEVEL.search(text) if text.startswith(("time=", "ts=", "level=")) else None
    if level is None or not severity.from_name(level[1]):
        return None
    timestamp = _LOGFMT_TIME.search(text)
    return _leveled_line(text, level=level[1], time_ns=parse_time_ns(timestamp[1]) if timestamp else 0)


_READERS: dict[str, Callable[[str], ParsedLine | None]] = {
    "[": _bracketed,
    **dict.fromkeys("0123456789", _node_or_dotnet),
    # Ruby writes A and U for levels other than its five.
    **dict.fromkeys("ACDEFINRSTUW", _capitalised),
    **dict.fromkeys("lt", _logfmt),
}
