"""Parses a log record of any format, and recognises a runtime's report of an uncaught exception.

Pure; never raises; loses nothing. `text_formats` parses text, `json_formats` parses JSON objects.
"""

import json
import re
from typing import Any

import orjson

from telemetry_forwarder.log_formats import exceptions, severity
from telemetry_forwarder.log_formats.json_formats import read_object
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, parsed_line
from telemetry_forwarder.log_formats.text_formats import read_text

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
# The same for Node, which writes the error as the message.
_UNCAUGHT_NODE_KEYS = frozenset({"timestamp", "level", "requestId", "tenantId", "message"})


def read_line(record: Any, *, keep_raw: bool = False) -> ParsedLine:
    """Parse *record*, which may be any JSON value.

    With *keep_raw* the body of a text line is the complete line, without its line end.
    """
    if isinstance(record, str):
        text = record.removesuffix("\n")
        if len(text) < len(record):
            text = text.removesuffix("\r")
        first = text[:1]
        may_be_json = first == "{" or first.isspace()
        line = (may_be_json and _read_json(text)) or read_text(text)
        return line.replace(body=text) if keep_raw else line
    return _read_object(record) if isinstance(record, dict) else parsed_line(record)


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


def _read_json(text: str) -> ParsedLine | None:
    stripped = text.strip()
    if stripped[:1] != "{" or stripped[-1] != "}":
        return None
    try:
        return _read_object(orjson.loads(stripped))
    except orjson.JSONDecodeError:
        return _read_python_json(stripped)


def _read_python_json(text: str) -> ParsedLine | None:
    """Read NaN and infinities as Python's json.dumps writes them; a strict parser rejects them."""
    if "NaN" not in text and "Infinity" not in text:
        return None
    try:
        # Not `json_values.read_json`, which ignores what follows the value: here all of the text must be JSON.
        return _read_object(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _read_object(record: dict[str, Any]) -> ParsedLine:
    line = read_object(record)
    if line.severity_number < severity.ERROR and "errorType" not in record:
        return line
    error = _uncaught_exception(record, line)
    if error is None:
        return line
    return line.replace(
        severity_number=line.severity_number or severity.ERROR,
        attributes={**error, **line.attributes},
        is_uncaught_exception=True,
    )


def _uncaught_exception(record: dict[str, Any], line: ParsedLine) -> dict[str, str] | None:
    """Return the attributes of an uncaught exception that *line* lacks; None if it is not one.

    Only exactly what a runtime writes counts: a user who logs a handled error has not failed. Node alone writes the
    same for `console.error(error)`, which is counted, since missing every handler failure would be worse.
    """
    is_error = line.severity_number >= severity.ERROR
    message = record.get("message")
    if isinstance(message, str):
        # Java: the text of its text format, as the message.
        return exceptions.parse_java(message) if is_error else None
    if isinstance(message, dict):
        is_node = record.get("level") == "ERROR" and {"timestamp", "requestId"} <= record.keys() <= _UNCAUGHT_NODE_KEYS
        error = exceptions.parse_object(message) if is_node else None
        return error if error and exceptions.STACKTRACE in error else None
    # Python, .NET and Ruby: the object is the error itself, without a message.
    name = line.attributes.get(exceptions.TYPE)
    if message is not None or not isinstance(name, str) or not record.keys() <= _UNCAUGHT_KEYS:
        return None
    # Only the runtimes' own failures have no frames, e.g. a module that cannot be imported.
    has_trace = exceptions.STACKTRACE in line.attributes or name.startswith("Runtime.")
    is_runtimes = (is_error and "timestamp" in record) or _RUBY_TYPE.fullmatch(name)
    return {} if has_trace and is_runtimes and "stackTrace" in record else None
