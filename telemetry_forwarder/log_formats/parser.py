"""Parses a log record of any format, and recognises a runtime's report of an uncaught exception.

Pure; never raises; loses nothing. `text_formats` parses text, `json_formats` parses JSON objects. What a line contains
is read on: JSON or another prefix behind a prefix, JSON in the message of an object.
"""

import re
from typing import Any

from telemetry_forwarder.core.cache import BoundedCache
from telemetry_forwarder.log_formats import attribute_names, exceptions, severity, stack_traces
from telemetry_forwarder.log_formats.conventions import TextLine
from telemetry_forwarder.log_formats.json_formats import read_object
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, nest, parsed_line, read_labelled_ids
from telemetry_forwarder.log_formats.text_formats import read_text
from telemetry_forwarder.telemetry.json_values import read_json_object

# What each runtime prints when it runs out of memory.
_OUT_OF_MEMORY = re.compile(
    r"java\.lang\.OutOfMemoryError|System\.OutOfMemoryException|JavaScript heap out of memory"
    r"|Runtime exited with error: signal: killed|fatal error: runtime: out of memory|Runtime\.OutOfMemory"
    r"|failed to allocate memory|NoMemoryError|(?:^|[\r\n]|\[ERROR\] )MemoryError\b"
)

# Ruby's runtime prints an exception without a level, but its type names the origin: Function<TypeError>.
_RUBY_TYPE = re.compile(r"(?:Function|Runtime|Init)<.+>", re.DOTALL)
# The only keys that the runtimes write for an uncaught exception: with others, the line is the user's own.
_UNCAUGHT_KEYS = frozenset(
    {"timestamp", "level", "log_level", "requestId", "tenantId", "traceId", "location"}
) | frozenset({"message", "errorType", "errorMessage", "stackTrace"})
# Node writes the error as the message.
_UNCAUGHT_NODE_KEYS = frozenset({"timestamp", "level", "requestId", "tenantId", "message"})
# All that a runtime writes for a line that the program has printed or logged: the message may be a line of its own.
_RUNTIME_KEYS = _UNCAUGHT_NODE_KEYS | {"traceId", "AWSRequestId"}
# Lambda wraps a line of text like this if the function's log format is JSON. The level is not the program's.
_WRAPPER_KEYS = ("timestamp", "level", "message")

# Of objects as Node.js prints them.
_ENDS_OF_OBJECTS = ("}", "]")

# A line in a line in a line.
_MAX_LAYERS = 3
# Between a conventional prefix and JSON: the name of a logger.
_MAX_NAME = 160
# The beginnings of what is read on: JSON, colours, brackets, times, levels, and ends of processes. One slice for all.
START = slice(4)
_STARTS = re.compile(
    r"[({\[ \t\x1b<\u2716\u26a0\u2139\u2714\u2b24\u25cf]|\d{3}|\d\d?[:.]|\d\d[-/]"
    r"|PHP|[IWEF]\d\d|[A-Z], \[|LAMB|Requ|Unha|Fata"
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"|(?:TRA|DEB|INF|ERO|NOT|WAR|WRN|LOG|ERR|SEV|FAT|CRI|ALE|EME|PAN|DPA|VER|FIN|CON|SUC|TRC|DBG|FTL|PNC|VRB)"
    r"|(?i:trac|debu|verb|info|http|noti|warn|erro|fata|crit|aler|emer|sill|trce|dbug|fail|pani|thre)"
    r"|(?i:time|leve|ts=|lvl=)"
)
may_continue = BoundedCache[str, bool](lambda start: _STARTS.match(start) is not None, 1_024)
"""By the `START` of a message: whether it may be a line of its own. Messages begin alike."""

# What we keep of a line besides its message.
_PREFIX = attribute_names.RENAMED + "prefix"


def read_line(record: Any, *, keep_raw: bool = False) -> ParsedLine:
    """Parse *record*, which may be any JSON value.

    With *keep_raw* the body of a text line is the complete line, without its line end, and that of an object is its
    message.
    """
    if isinstance(record, str):
        text = record.removesuffix("\n")
        if len(text) < len(record):
            text = text.removesuffix("\r")
        line = _read_text(text, _MAX_LAYERS)
        return line.replace(body=text) if keep_raw else line
    if not isinstance(record, dict):
        return parsed_line(record)
    return _read_object(record, _MAX_LAYERS, keep_raw=keep_raw)


def reports_out_of_memory(line: ParsedLine) -> bool:
    """Return whether *line* or the type of its exception reports that the runtime ran out of memory.

    A level below ERROR does not: the program has survived.
    """
    if 0 < line.severity_number < severity.ERROR:
        return False
    body = line.body if isinstance(line.body, str) else ""
    return is_out_of_memory(body) or (bool(line.attributes) and is_out_of_memory(line.exception_type))


def is_out_of_memory(text: str) -> bool:
    """Return whether a line or an exception type is a runtime's report that it ran out of memory."""
    # Two plain searches are much cheaper than the pattern.
    return ("emory" in text or "signal: killed" in text) and _OUT_OF_MEMORY.search(text) is not None


def _read_text(text: str, layers: int) -> ParsedLine:
    plain = severity.remove_colours(text) if "\x1b" in text else text
    first = plain[:1]
    if (first == "{" or first.isspace()) and (record := read_json_object(plain)) is not None:
        return _read_object(record, layers)
    read = read_text(plain)
    line = read if isinstance(read, ParsedLine) else _read_on(read, layers)
    if "\n" in plain or "\r" in plain or plain[-1:] in _ENDS_OF_OBJECTS:
        line = _with_uncaught_java(line) or _with_stack_trace(line)
    is_unknown = plain is not text and line.body == plain and not (line.severity_number or line.attributes)
    return line.replace(body=text) if is_unknown else line


def _read_on(read: TextLine, layers: int) -> ParsedLine:
    """Read what follows a prefix: the message, which may be a line of its own."""
    line, rest, prefix = read.line, read.rest, read.prefix
    if not rest or layers <= 0 or (not prefix and not may_continue[rest[START]]):
        return read_labelled_ids(line) if not prefix and "=" in rest and "race" in rest else line
    at = rest.find("{", 0, _MAX_NAME) if prefix else 0
    if at >= 0 and rest[at] == "{" and (record := read_json_object(rest[at:])) is not None:
        inner = _read_object(record, layers - 1)
        if _is_line(inner, record) if not prefix else _has_message(inner, record):
            outer = line.replace(attributes=_kept(line, prefix + rest[:at])) if prefix else line
            return nest(outer, inner)
        # Fields after a message.
        exception = {key: inner.attributes[key] for key in stack_traces.NAMES if key in inner.attributes}
        return line.replace(attributes={**line.attributes, **exception}) if exception else line
    if prefix and line.severity_number:
        return line
    inner = _read_text(rest, layers - 1)
    if prefix:
        return nest(line.replace(attributes=_kept(line, prefix)), inner)
    is_line = inner.severity_number or inner.request_id or inner.trace_id or inner.attributes
    return nest(line, inner) if is_line else line


def _is_line(inner: ParsedLine, record: dict[str, Any]) -> bool:
    """Return whether *record* is a logger's, and not only an object that was logged."""
    return inner.body is not record or bool(inner.severity_number or inner.request_id or inner.trace_id)


def _has_message(inner: ParsedLine, record: dict[str, Any]) -> bool:
    """Return whether *record* is a whole line, and not only the fields that a logger adds to its message."""
    message = inner.attributes.get(stack_traces.MESSAGE)
    return inner.is_uncaught_exception or (inner.body is not record and inner.body is not message)


def _kept(line: ParsedLine, prefix: str) -> dict[str, Any]:
    """Return the attributes of *line* with what of its prefix is no field."""
    return {**line.attributes, _PREFIX: prefix.strip()}


def _with_uncaught_java(line: ParsedLine) -> ParsedLine | None:
    """Return a line without a prefix as Java's client reports an exception; None if it is another line."""
    exception = exceptions.parse_java(line.body) if line.severity_number == 0 and isinstance(line.body, str) else None
    if exception is None:
        return None
    return line.replace(severity_number=severity.ERROR, attributes={**exception}, is_uncaught_exception=True)


def _with_stack_trace(line: ParsedLine) -> ParsedLine:
    """Add the exception that a logger has written into the message."""
    body = line.body
    if not isinstance(body, str) or stack_traces.STACKTRACE in line.attributes:
        return line
    exception = stack_traces.find_exception(body)
    if exception is None and body.endswith(_ENDS_OF_OBJECTS) and stack_traces.TYPE not in line.attributes:
        is_error = line.severity_number >= severity.ERROR or body.startswith(("{", "["))
        exception = stack_traces.find_inspected(body) if is_error else None
    if exception is None:
        return line
    attributes = attribute_names.override(line.attributes, exception)
    is_uncaught = line.is_uncaught_exception or stack_traces.has_ended_node(body, exception)
    severity_number = line.severity_number or severity.ERROR
    return line.replace(attributes=attributes, severity_number=severity_number, is_uncaught_exception=is_uncaught)


def _read_object(record: dict[str, Any], layers: int, *, keep_raw: bool = False) -> ParsedLine:
    line = read_object(record)
    error = None
    if line.severity_number >= severity.ERROR or "errorType" in record:
        error = _uncaught_exception(record, line)
    if error is not None:
        line = line.replace(
            severity_number=line.severity_number or severity.ERROR,
            attributes={**error, **line.attributes},
            is_uncaught_exception=True,
        )
    body = line.body
    if type(body) is str and "\n" not in body and "\r" not in body and not may_continue[body[START]]:
        return read_labelled_ids(line) if line.has_runtime_format and "=" in body and "race" in body else line
    if layers > 0 and body is not record:
        if is_wrapper(record) and body[0] != "{":
            line = _read_wrapped(line, layers)
        else:
            line = _read_message(line, layers, is_runtimes=record.keys() <= _RUNTIME_KEYS)
    return line.replace(body=body) if keep_raw else line


def is_wrapper(record: dict[str, Any]) -> bool:
    """Return whether *record* is what Lambda makes of a line of text if the function's log format is JSON."""
    return tuple(record) == _WRAPPER_KEYS and record["level"] == "INFO" and type(record["message"]) is str


def _read_wrapped(line: ParsedLine, layers: int) -> ParsedLine:
    inner = _read_text(line.body, layers - 1)
    if inner.severity_number:
        return nest(line.replace(severity_number=0, severity_text=""), inner)
    return nest(line, inner)


def _read_message(line: ParsedLine, layers: int, *, is_runtimes: bool) -> ParsedLine:
    """Read the message of an object, which may be an object or, if a runtime wrote it, any line of its own."""
    body = line.body
    inner = None
    record = read_json_object(body) if isinstance(body, str) and body[:1] == "{" else body
    if isinstance(record, dict):
        inner = _read_object(record, layers - 1)
        inner = inner if _is_line(inner, record) else None
    elif isinstance(body, str) and is_runtimes and line.has_runtime_format and may_continue[body[START]]:
        inner = _read_text(body, layers - 1)
    if inner is None:
        return _with_stack_trace(line)
    merged = nest(line, inner)
    # Of Node's own report, which is the message.
    return merged.replace(is_uncaught_exception=True) if line.is_uncaught_exception else merged


def _uncaught_exception(record: dict[str, Any], line: ParsedLine) -> dict[str, str] | None:
    """Return the attributes of an uncaught exception that *line* lacks; None if it is not one.

    Only exactly what a runtime writes counts: a user who logs a handled error has not failed. Node alone writes the
    same for `console.error(error)`, which is counted, since missing every handler failure would be worse.
    """
    is_error = line.severity_number >= severity.ERROR
    if exceptions.is_rust_report(record, line.body):
        return {stack_traces.MESSAGE: line.body} if is_error else None
    message = record.get("message")
    if isinstance(message, str) and message:
        # Java: the text of its text format, as the message.
        return exceptions.parse_java(message) if is_error else None
    if isinstance(message, dict):
        is_node = record.get("level") == "ERROR" and "timestamp" in record and record.keys() <= _UNCAUGHT_NODE_KEYS
        error = exceptions.parse_object(message) if is_node else None
        return error if error and stack_traces.STACKTRACE in error else None
    if exceptions.is_go_error(record):
        return {}
    # Python, .NET and Ruby: the object is the error itself; the message is empty or absent.
    name = line.attributes.get(stack_traces.TYPE)
    if message or not isinstance(name, str) or not record.keys() <= _UNCAUGHT_KEYS:
        return None
    # Only the runtimes' own failures have no frames, e.g. a module that cannot be imported; Ruby leaves out its own.
    has_trace = stack_traces.STACKTRACE in line.attributes or name.startswith("Runtime.")
    is_runtimes = (is_error and "timestamp" in record and has_trace) or _RUBY_TYPE.fullmatch(name)
    return {} if is_runtimes and "stackTrace" in record else None
