"""Parses uncaught exceptions as each runtime reports them, and the error objects of JSON loggers. Pure; never raises.

A parser returns None if the value is not in its format. The formats are those of the runtime interface clients:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-images.html#runtimes-api-client
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from telemetry_forwarder.log_formats.stack_traces import MESSAGE, STACKTRACE, TYPE, describe, find_exception
from telemetry_forwarder.telemetry.json_values import read_json_object

# The separator is a carriage return if the runtime has no framed log pipe (container images, emulators).
_PYTHON = re.compile(r"([^\W\d][\w.]{0,300})(?:: (.*?))?([\r\n])(Traceback \(most recent call last\):.*)", re.DOTALL)
# "message: class", then the printed stack trace, which begins with the class again.
_JAVA = re.compile(r"(.*?): ([\w.$]+)\n(\2\b.*)", re.DOTALL)
# With the types that a generic one is made of: FaultException`1[App.Detail].
_DOTNET_TYPE = r"[\w.+`]{1,200}(?:\[[\w.+`,\[\] ]{1,200}\])?"
_DOTNET = re.compile(rf"({_DOTNET_TYPE}): (.*?)\r?\n(?:   at | ---> )", re.DOTALL)
_NODE = re.compile(r"(?:(?:Invoke|Init) Error|Uncaught Exception|Unhandled Promise Rejection)\s+(\{.*)", re.DOTALL)
# What a process prints that ends because of an exception: .NET, Rust, PHP.
_ENDED = re.compile(
    rf"(?:Unhandled (?:exception\.|Exception:) ({_DOTNET_TYPE}): ([^\r\n]{{0,2000}})"
    r"|thread '[^'\n]{0,100}'(?: \(\d{1,10}\))? (panicked) at (?:'([^\n]{0,2000})', )?"
    r"[^\s,]{1,300}:\d{1,7}(?::\d{1,7})?:?(?:\n([^\n]*))?"
    r"|(?:PHP )?Fatal error: {1,2}(?:Uncaught )?([A-Za-z_][\w\\]{0,200}): (.{0,2000}?)"
    r" in /[^\s:]{1,200}(?::| on line )\d)",
    re.DOTALL,
)
# Text, or a type with its values: "no such order", NotFound, Error { code: 5 }, sqlx::Error("no such table")
_RUST_SPAN = "Lambda runtime invoke"
_RUST_DEBUG = re.compile(r'"[^\n]*"|(?:\w{1,60}::){0,8}[A-Z]\w{0,80}(?:\(.*\)| \{.*\})?', re.DOTALL | re.ASCII)

# Members of error objects, in lower case.
_TYPE_KEYS = ("type", "name", "errortype", "classname", "class", "kind", "exc_type", "exception_class", "exceptiontype")
_MESSAGE_KEYS = ("message", "msg", "errormessage", "value", "exc_value", "exception_message")
_STACK_KEYS = ("stack", "stack_trace", "stacktrace", "traceback", "trace", "extendedstacktrace", "steparray", "frames")
_CLASS = re.compile(r"[\w.$:\\`<>+-]{1,200}")
# Members of a frame, in lower case.
_FUNCTION_KEYS = ("method", "methodname", "function", "func", "label", "name")
_FRAME_KEYS = frozenset(
    {*_FUNCTION_KEYS, "class", "classname", "file", "filename", "path", "source", "line", "lineno", "linenumber"}
)

# Go's client writes these alone and in this order, with frames of its own.
# https://github.com/aws/aws-lambda-go/blob/main/lambda/messages/messages.go
_GO_KEYS = ("errorMessage", "errorType", "stackTrace")
_GO_FRAME = {"path": "", "line": 0, "label": ""}

ReadError = tuple[dict[str, str], Any]
"""The exception, and what of the error object is not in it; None if nothing."""


def parse_python(text: str) -> dict[str, str] | None:
    """Parse the text after `[ERROR] `: `Type: message`, then the traceback."""
    match = _PYTHON.fullmatch(text)
    if match is None:
        return None
    name, message, separator, trace = match.groups()
    return describe(name, message or "", trace.replace(separator, "\n"))


def parse_java(text: str) -> dict[str, str] | None:
    """Parse `message: class`, then the output of printStackTrace."""
    # Called for every plain line, so the cheap test comes first.
    match = _JAVA.fullmatch(text) if "\n\tat " in text else None
    return describe(match[2], match[1], match[3]) if match else None


def parse_dotnet(text: str) -> dict[str, str] | None:
    """Parse the output of Exception.ToString: message and stack trace in one."""
    match = _DOTNET.match(text)
    return describe(match[1], match[2], text) if match else None


def parse_node(text: str) -> dict[str, str] | None:
    """Parse `Invoke Error` or a similar prefix, then the error as JSON; no attributes if the JSON was cut off.

    PHP's Bref writes the same.
    """
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    error = read_json_object(match[1])
    return (parse_object(error) if error is not None else None) or {}


def parse_ended(text: str) -> dict[str, str] | None:
    """Parse what a process prints that ends because of an exception."""
    match = _ENDED.match(text)
    if match is None:
        return None
    dotnet, dotnet_message, panic, old_message, message, php, php_message = match.groups()
    if php and "\nNext " in text and (last := find_exception(text)):
        # Of PHP's exceptions that caused each other, the last one was raised.
        return last
    trace = text if "\n" in text else ""
    return describe(
        dotnet or php or (panic and "panic") or "", dotnet_message or php_message or old_message or message or "", trace
    )


def is_rust_error(text: str) -> bool:
    """Return whether *text* is an error as Rust's `{:?}` writes it, or the report of a panic."""
    return text.startswith("user handler panicked") or _RUST_DEBUG.fullmatch(text) is not None


def is_rust_report(record: dict[str, Any], message: Any) -> bool:
    """Return whether Rust's client wrote *record*: with its target, or without any directly in its span."""
    if not isinstance(message, str) or "target" in record:
        return isinstance(message, str) and str(record["target"]).startswith("lambda_runtime")
    spans = record.get("spans") or [record.get("span")]
    names = [span.get("name") if isinstance(span, dict) else None for span in spans] if isinstance(spans, list) else []
    return names == [_RUST_SPAN] and is_rust_error(message)


def parse_object(error: dict[str, Any]) -> dict[str, str] | None:
    """Parse an error object: errorType, errorMessage, and the stack under one of its three names."""
    name, message = error.get("errorType"), error.get("errorMessage")
    trace = join_stack_trace(error.get("stack") or error.get("stackTrace") or error.get("trace"))
    if not (isinstance(name, str) and isinstance(message, str)):
        return None
    return describe(name, message, trace)


def is_go_error(record: dict[str, Any]) -> bool:
    """Return whether *record* is a handler's error as Go's client writes it."""
    if tuple(record) not in (_GO_KEYS, _GO_KEYS[:2]):
        return False
    # Go leaves out an empty list, other runtimes do not.
    frames = record.get("stackTrace", [_GO_FRAME])
    return isinstance(frames, list) and frames != [] and all(map(_is_go_frame, frames))


def _is_go_frame(frame: Any) -> bool:
    return isinstance(frame, dict) and frame.keys() == _GO_FRAME.keys()


def read_error(value: Any) -> ReadError | None:
    """Read an error as loggers write it: an object, a list that begins with one, or a text with a stack trace."""
    if isinstance(value, str):
        # Complete: what precedes the exception is not lost.
        return ({**(find_exception(value) or {}), STACKTRACE: value}, None) if "\n" in value else None
    if isinstance(value, list):
        first = read_error(value[0]) if value and isinstance(value[0], dict) else None
        return (first[0], value) if first else None
    return _read_error_object(value) if isinstance(value, dict) else None


def _read_error_object(error: dict[str, Any]) -> ReadError | None:
    keys = {key.lower(): key for key in error}
    name_key, name = _first_text(error, keys, _TYPE_KEYS)
    message_key, message = _first_text(error, keys, _MESSAGE_KEYS)
    stack_key = next((keys[key] for key in _STACK_KEYS if key in keys and join_stack_trace(error[keys[key]])), "")
    trace = join_stack_trace(error[stack_key]) if stack_key else ""
    if not _CLASS.fullmatch(name):
        name_key = name = ""
    if not trace and not (name and message_key):
        return None
    known = {TYPE: name, MESSAGE: message} if name else {MESSAGE: message}
    exception = {**(find_exception(trace) or {}), **{key: part for key, part in known.items() if part}}
    exception |= {STACKTRACE: trace} if trace else {}
    used = {name_key, message_key, stack_key if _is_text(error.get(stack_key)) else ""}
    rest = {key: part for key, part in error.items() if key not in used}
    return exception, rest or None


def _first_text(error: Mapping[str, Any], keys: Mapping[str, str], names: Iterable[str]) -> tuple[str, str]:
    """Return the key and the value of the first of *names* that holds text; empty if none does."""
    for name in names:
        if name in keys and isinstance(value := error[keys[name]], str):
            return keys[name], value
    return "", ""


def _is_text(trace: Any) -> bool:
    return isinstance(trace, str) or (isinstance(trace, list) and all(isinstance(line, str) for line in trace))


def join_stack_trace(trace: Any) -> str:
    """Return a stack trace, given as text or as a list of lines or of frames, as one text; empty if it is none."""
    if isinstance(trace, str):
        return trace if "\n" in trace else ""
    if not isinstance(trace, list) or not trace:
        return ""
    if all(isinstance(line, str) for line in trace):
        # Python's entries end with a line feed, and can contain two lines each.
        return ("" if trace[0].endswith("\n") else "\n").join(trace)
    lines = [_frame(frame) if isinstance(frame, dict) else "" for frame in trace]
    return "\n".join(lines) if all(lines) else ""


def _frame(frame: dict[str, Any]) -> str:
    """Return a frame as a line; empty if it is not one."""
    members = {key.lower(): str(value) for key, value in frame.items()}
    if members.keys().isdisjoint(("line", "lineno", "linenumber")):
        return ""

    def first(*names: str) -> str:
        return next((members[name] for name in names if members.get(name)), "")

    function = ".".join(filter(None, (first("class", "classname"), first(*_FUNCTION_KEYS))))
    place = ":".join(filter(None, (first("file", "filename", "path", "source"), first("line", "lineno", "linenumber"))))
    return f"    at {function} ({place})"


def has_only_lines(trace: Any) -> bool:
    """Return whether `join_stack_trace` keeps all of *trace*: frames may have members that are not in the text."""
    return _is_text(trace) or all(frame.keys() <= _FRAME_KEYS for frame in trace)
