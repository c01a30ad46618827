"""Parses the text formats of Lambda's runtimes and of common loggers. Pure; never raises; loses nothing.

If the format is a runtime's own, its prefix is removed from the body. If it is only a common convention, level and
timestamp are read and the body stays complete. Any other line is the body, unchanged.
"""

import re
from collections.abc import Callable
from typing import Any

from telemetry_forwarder.log_formats import attribute_names, exceptions, severity, stack_traces
from telemetry_forwarder.log_formats.conventions import LEVEL, TIME, TextLine, read_convention, read_end_of_process
from telemetry_forwarder.log_formats.parsed_line import UUID, ParsedLine, parsed_line, read_labelled_ids
from telemetry_forwarder.telemetry import trace_context
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

# [INFO] message
_BRACKETED = re.compile(rf"\[({LEVEL})\][ \t]", re.IGNORECASE)
# 2026-09-22 06:30:00 <id> INFO  Class - message
# 2026-09-22T06:30:03.000Z <id> Task timed out after 3.00 seconds
_JAVA = re.compile(rf"({TIME}) ({UUID}) (?:(Task timed out after )|({LEVEL}) +(?:([\w.$]+(?::\d+)?) - )?)", re.ASCII)
# I, [2026-09-22T06:30:00.123456 #8]  INFO <id> -- prog: message
_RUBY = re.compile(rf"[A-Z], \[({TIME}) #(\d{{1,10}})\] +([A-Z]+) +(?:({UUID}) +)?-- ([^:\n]*): ?", re.ASCII)
# Of a time alone, only what JSON follows is a prefix: Go's log package writes no level.
_TIME_AND_JSON = re.compile(rf"({TIME})[ \t]{{1,4}}(?:[\w./-]{{1,100}}:\d{{1,6}}: )?(?=\{{)", re.ASCII)
# Python's client before 3.1 prints this in front of an uncaught exception.
# https://github.com/aws/aws-lambda-python-runtime-interface-client/blob/3.0.0/awslambdaric/lambda_literals.py
_WARNING = "LAMBDA_WARNING: Unhandled exception. "
_MAX_WARNING = 1_000
# The platform's own lines.
_PLATFORM = re.compile(rf"(START |END |REPORT |)RequestId: ({UUID})\b(?: Error: ([^\r\n]*)(?:\s+([\w.]+)$)?)?")
# How Lambda reports a crashed runtime; a user's line may contain an id and an error, too.
_CRASHES = ("Runtime exited", "Runtime.", "Task timed out", "signal: killed")
_XRAY = re.compile(r"\tXRAY TraceId: (\S+)\tSegmentId: (\S+)")


def read_text(text: str) -> ParsedLine | TextLine:
    """Parse a line of text without its line end and without colours."""
    reader = _READERS.get(text[:1])
    if (reader and (found := reader(text))) or (found := read_convention(text)):
        return found
    line = parsed_line(text)
    return read_labelled_ids(line) if "race" in text or "equest" in text else line


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


def _bracketed(text: str) -> ParsedLine | TextLine | None:
    """Parse lines of Python and Java."""
    parts = text.split("\t", 3)
    if len(parts) == 4:
        level, timestamp, request_id, body = parts
        if level[-1] == "]" and (line := _tabbed(body, level=level[1:-1], timestamp=timestamp, request_id=request_id)):
            return TextLine(line, body)
    match = _BRACKETED.match(text)
    if match is None:
        return None
    body = text[match.end() :]
    line = read_labelled_ids(parsed_line(body, severity_number=severity.from_name(match[1]), severity_text=match[1]))
    exception = exceptions.parse_python(body) if line.severity_number == severity.ERROR else None
    if exception is None:
        return TextLine(line, body)
    return line.replace(attributes=exception, is_uncaught_exception=True)


def _dated(text: str) -> ParsedLine | TextLine | None:
    """Parse lines of Node and .NET, of Java with log4j2, and a time before JSON."""
    parts = text.split("\t", 3)
    if len(parts) == 4 and severity.from_name(parts[2]):
        timestamp, request_id, level, body = parts
        if line := _tabbed(body, level=level, timestamp=timestamp, request_id=request_id):
            return _with_exception(line)
    if len(parts) >= 3 and _is_uuid(parts[1]) and (read := _without_level(text)):
        return read
    if _is_uuid(parts[0]) and (line := _bref(text)):
        return line
    if java := _java(text):
        return java
    match = _TIME_AND_JSON.match(text) if text[-1] == "}" else None
    if match is None:
        return None
    return TextLine(parsed_line(text, time_ns=parse_time_ns(match[1])), text[match.end() :], prefix=text[: match.end()])


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and re.fullmatch(UUID, text) is not None


def _without_level(text: str) -> TextLine | None:
    """Parse a line of .NET's Amazon.Lambda.Logging: time, request id, and a message with a level of its own."""
    timestamp, request_id, body = text.split("\t", 2)
    line = _tabbed(body, level="", timestamp=timestamp, request_id=request_id)
    return TextLine(line, body) if line else None


def _bref(text: str) -> ParsedLine | None:
    """Parse an error of PHP's Bref: `<id>⇥Invoke Error⇥{…}`."""
    request_id, _, body = text.partition("\t")
    exception = exceptions.parse_node(body)
    if exception is None:
        return None
    return parsed_line(
        body,
        severity_number=severity.ERROR,
        request_id=request_id,
        attributes=exception,
        is_uncaught_exception=True,
        request_id_key="requestId",
        has_runtime_format=True,
    )


def _hexadecimal(text: str) -> ParsedLine | None:
    request_id = text.partition("\t")[0] if "\t" in text[36:37] else ""
    return _bref(text) if _is_uuid(request_id) else read_end_of_process(text)


def _tabbed(body: str, *, level: str, timestamp: str, request_id: str) -> ParsedLine | None:
    """Parse a line of the fields that Lambda's runtimes separate by tabs."""
    looks_dated = timestamp[4:5] == "-" and timestamp[10:11] == "T"
    if not looks_dated and not parse_time_ns(timestamp):
        return None
    # Not always a UUID: emulators have their own ids, and outside of invocations there is none.
    if len(request_id) > 64 or " " in request_id:
        return None
    if request_id == "undefined":
        request_id = ""
    return _runtime_line(body, level=level, timestamp=timestamp, request_id=request_id)


def _with_exception(line: ParsedLine) -> TextLine:
    exception = None
    if line.severity_number >= severity.ERROR:
        parse = exceptions.parse_dotnet if line.severity_text == "fail" else exceptions.parse_node
        exception = parse(line.body)
    if exception is None:
        return TextLine(line, line.body)
    attributes = attribute_names.override(line.attributes, exception)
    return TextLine(line.replace(attributes=attributes, is_uncaught_exception=True))


def _java(text: str) -> ParsedLine | TextLine | None:
    match = _JAVA.match(text)
    if match is None:
        return None
    timestamp, request_id, timed_out, level, logger = match.groups()
    if timed_out:
        line = _runtime_line(text[match.start(3) :], level="ERROR", timestamp=timestamp, request_id=request_id)
        return line.replace(severity_text="")
    attributes = {"logger": logger} if logger else None
    body = text[match.end() :]
    line = _runtime_line(body, level=level, timestamp=timestamp, request_id=request_id, attributes=attributes)
    return TextLine(line, body)


def _ruby(text: str) -> TextLine | None:
    match = _RUBY.match(text)
    if match is None:
        return None
    timestamp, process, level, request_id, program = match.groups()
    attributes: dict[str, Any] = {"process.pid": int(process)}
    if program:
        attributes["logger"] = program
    body = text[match.end() :]
    line = _runtime_line(body, level=level, timestamp=timestamp, request_id=request_id or "", attributes=attributes)
    return TextLine(line, body)


def _capitalised(text: str) -> ParsedLine | TextLine | None:
    """Parse lines that begin with a word in capitals: Ruby's, the platform's, and those of a process that ends."""
    if text[1:4] == ", [":
        return _ruby(text)
    if text.startswith(_WARNING):
        return _after_warning(text)
    match = _PLATFORM.match(text)
    return _platform(text, match) if match else read_end_of_process(text)


def _after_warning(text: str) -> TextLine | None:
    """Parse what follows the warning, which is no part of the message."""
    head = text[:_MAX_WARNING]
    begin = max(head.find("\r"), head.find("\n")) + 1
    if not begin:
        return None
    return TextLine(parsed_line(text), text[begin:], prefix=text[: begin - 1])


def _platform(text: str, match: re.Match[str]) -> ParsedLine:
    record, request_id, error, error_type = match.groups()
    if not record and error:
        attributes = {stack_traces.MESSAGE: error, **({stack_traces.TYPE: error_type} if error_type else {})}
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


_READERS: dict[str, Callable[[str], ParsedLine | TextLine | None]] = {
    "[": _bracketed,
    **dict.fromkeys("0123456789", _dated),
    **dict.fromkeys("abcdef", _hexadecimal),
    # Ruby writes A and U for levels other than its five.
    **dict.fromkeys("ACDEFILNPRSTUW", _capitalised),
    **dict.fromkeys("tp", read_end_of_process),
}
