"""Parses uncaught exceptions as each runtime prints them: text in, `exception.*` attributes out. Pure.

A parser returns None if the text is not in its format. The formats are those of the runtime interface clients:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-images.html#runtimes-api-client
"""

import re
from typing import Any

import orjson

TYPE = "exception.type"
MESSAGE = "exception.message"
STACKTRACE = "exception.stacktrace"

# The separator is a carriage return if the runtime has no framed log pipe (container images, emulators).
_PYTHON = re.compile(r"([^\W\d][\w.]*)(?:: (.*?))?([\r\n])(Traceback \(most recent call last\):.*)", re.DOTALL)
# "message: class", then the printed stack trace, which begins with the class again.
_JAVA = re.compile(r"(.*?): ([\w.$]+)\n(\2\b.*)", re.DOTALL)
_DOTNET = re.compile(r"([\w.+`]+): (.*?)\r?\n   at ", re.DOTALL)
_NODE = re.compile(r"(?:Invoke Error|Uncaught Exception|Unhandled Promise Rejection)\s+(\{.*)", re.DOTALL)


def parse_python(text: str) -> dict[str, str] | None:
    """Parse the text after `[ERROR] `: `Type: message`, then the traceback."""
    match = _PYTHON.fullmatch(text)
    if match is None:
        return None
    name, message, separator, trace = match.groups()
    return _attributes(name, message or "", trace.replace(separator, "\n"))


def parse_java(text: str) -> dict[str, str] | None:
    """Parse `message: class`, then the output of printStackTrace."""
    # Called for every plain line, so the cheap test comes first.
    match = _JAVA.fullmatch(text) if "\n\tat " in text else None
    return _attributes(match[2], match[1], match[3]) if match else None


def parse_dotnet(text: str) -> dict[str, str] | None:
    """Parse the output of Exception.ToString: message and stack trace in one."""
    match = _DOTNET.match(text)
    return _attributes(match[1], match[2], text) if match else None


def parse_node(text: str) -> dict[str, str] | None:
    """Parse `Invoke Error` or a similar prefix, then the error as JSON; no attributes if the JSON was cut off."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    try:
        return parse_object(orjson.loads(match[1])) or {}
    except orjson.JSONDecodeError:
        return {}


def parse_object(error: dict[str, Any]) -> dict[str, str] | None:
    """Parse an error object: errorType, errorMessage, and the stack under one of its three names."""
    name, message = error.get("errorType"), error.get("errorMessage")
    trace = join_stack_trace(error.get("stack") or error.get("stackTrace") or error.get("trace"))
    if not (isinstance(name, str) and isinstance(message, str)):
        return None
    return _attributes(name, message, trace)


def join_stack_trace(trace: Any) -> str:
    """Return a stack trace, given as a list of lines or as text, as one text; empty if it is neither."""
    if isinstance(trace, str):
        return trace if "\n" in trace else ""
    if not isinstance(trace, list) or not all(isinstance(line, str) for line in trace):
        return ""
    # Python's entries end with a line feed, and can contain two lines each.
    return ("" if trace and trace[0].endswith("\n") else "\n").join(trace)


def _attributes(name: str, message: str, trace: str) -> dict[str, str]:
    return {TYPE: name, MESSAGE: message, STACKTRACE: trace} if trace else {TYPE: name, MESSAGE: message}
