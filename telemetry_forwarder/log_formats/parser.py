"""Answers what a log record of a function or an extension says, whatever wrote it.

Pure; never raises; loses nothing. Text is `text_lines`' matter, JSON objects are `json_lines`'; which of
these a runtime wrote of an exception that nobody caught is said here.
"""

import json
import re
from typing import Any

import orjson

from telemetry_forwarder.log_formats import exceptions, severity
from telemetry_forwarder.log_formats.json_formats import read_object
from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.log_formats.text_formats import read_text

# Each runtime's own words, as it prints them when memory ends.
_OUT_OF_MEMORY = re.compile(
    r"java\.lang\.OutOfMemoryError|System\.OutOfMemoryException|JavaScript heap out of memory"
    r"|Runtime exited with error: signal: killed|fatal error: runtime: out of memory|Runtime\.OutOfMemory"
    r"|failed to allocate memory|NoMemoryError|(?:^|[\r\n]|\[ERROR\] )MemoryError\b"
)

# Ruby's runtime prints an exception without a level, but says in the type who raised it: Function<TypeError>.
_RUBY_TYPE = re.compile(r"(?:Function|Runtime|Init)<.+>", re.DOTALL)
# All that the runtimes write of an exception that nobody caught: with more, the line is the user's own.
_UNCAUGHT = frozenset(
    {"timestamp", "level", "log_level", "requestId", "tenantId", "traceId", "location"}
) | frozenset({"message", "errorType", "errorMessage", "stackTrace"})
# The same for Node, where the error is the message.
_UNCAUGHT_NODE = frozenset({"timestamp", "level", "requestId", "tenantId", "message"})


def read_line(record: Any, *, keep_raw: bool = False) -> ParsedLine:
    """What *record* says; it may be any JSON value.

    With *keep_raw* the body of a line of text is the line as it came, without its line end.
    """
    if isinstance(record, str):
        text = record.removesuffix("\n")
        if len(text) < len(record):
            text = text.removesuffix("\r")
        first = text[:1]
        may_be_json = first == "{" or first.isspace()
        line = (may_be_json and _read_json(text)) or read_text(text)
        return line.replaced(body=text) if keep_raw else line
    if isinstance(record, dict):
        return _of_object(record)
    return ParsedLine(record, 0, "", 0, "", {}, "", "", False)


def tells_out_of_memory(line: ParsedLine) -> bool:
    """Whether it is of this that *line* tells, or its exception's type.

    What a logger calls less than an error is not how a runtime dies: it tells of one that was survived.
    """
    if 0 < line.severity_number < severity.ERROR:
        return False
    said = line.body if isinstance(line.body, str) else ""
    return out_of_memory(said) or (bool(line.attributes) and out_of_memory(line.exception_type))


def out_of_memory(text: str) -> bool:
    """Whether *text*, of a log line or of an exception's type, is how a runtime says that memory ended."""
    # Two plain searches are ten times cheaper than one by pattern.
    if "emory" in text or "signal: killed" in text:
        return _OUT_OF_MEMORY.search(text) is not None
    return False


def _read_json(text: str) -> ParsedLine | None:
    stripped = text.strip()
    if stripped[:1] != "{" or stripped[-1] != "}":
        return None
    try:
        return _of_object(orjson.loads(stripped))
    except orjson.JSONDecodeError:
        return _read_python_json(stripped)


def _read_python_json(text: str) -> ParsedLine | None:
    """What Python's json.dumps writes and no strict parser takes: NaN and infinities."""
    if "NaN" not in text and "Infinity" not in text:
        return None
    try:
        # Not `lenient_json`: that one ignores what follows, and here all of the text has to be said.
        return _of_object(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _of_object(record: dict[str, Any]) -> ParsedLine:
    line = read_object(record)
    if line.severity_number < severity.ERROR and "errorType" not in record:
        return line
    error = _uncaught(record, line)
    if error is None:
        return line
    return line.replaced(
        severity_number=line.severity_number or severity.ERROR,
        attributes={**error, **line.attributes},
        is_exception=True,
    )


def _uncaught(record: dict[str, Any], line: ParsedLine) -> dict[str, str] | None:
    """What *line* lacks of an exception that nobody caught; None if it is none.

    Only what a runtime writes, to the key: a user who logs a handled error has not failed. Node alone writes the very
    same for `console.error(error)`, which is counted: to miss every failure of its handlers were the worse mistake.
    """
    is_error = line.severity_number >= severity.ERROR
    message = record.get("message")
    if isinstance(message, str):
        # Java: the text of its text format, as the message.
        return exceptions.of_java(message) if is_error else None
    if isinstance(message, dict):
        is_node = (
            record.get("level") == "ERROR" and {"timestamp", "requestId"} <= record.keys() <= _UNCAUGHT_NODE
        )
        error = exceptions.of_object(message) if is_node else None
        return error if error and exceptions.STACKTRACE in error else None
    # Python, .NET and Ruby: the error itself is the object, without a message.
    name = line.attributes.get(exceptions.TYPE)
    if message is not None or not isinstance(name, str) or not record.keys() <= _UNCAUGHT:
        return None
    # Only the runtimes' own failures have no frames: a module that cannot be imported.
    has_trace = exceptions.STACKTRACE in line.attributes or name.startswith("Runtime.")
    is_runtimes = (is_error and "timestamp" in record) or _RUBY_TYPE.fullmatch(name)
    return {} if has_trace and is_runtimes and "stackTrace" in record else None
