"""Knows how each runtime prints an exception that nobody caught: text in, `exception.*` attributes out. Pure.

None means: not one of these. The texts are those of the runtime interface clients:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-images.html#runtimes-api-client
"""

import re
from typing import Any

import orjson

TYPE = "exception.type"
MESSAGE = "exception.message"
STACKTRACE = "exception.stacktrace"

# The separator is a carriage return where the runtime has no framed log pipe (container images, emulators).
_PYTHON = re.compile(
    r"([^\W\d][\w.]*)(?:: (.*?))?([\r\n])(Traceback \(most recent call last\):.*)", re.DOTALL
)
# "message: class", then the printed stack trace, which begins with the class again.
_JAVA = re.compile(r"(.*?): ([\w.$]+)\n(\2\b.*)", re.DOTALL)
_DOTNET = re.compile(r"([\w.+`]+): (.*?)\r?\n   at ", re.DOTALL)
_NODE = re.compile(r"(?:Invoke Error|Uncaught Exception|Unhandled Promise Rejection)\s+(\{.*)", re.DOTALL)


def of_python(text: str) -> dict[str, str] | None:
    """`Type: message`, then the traceback: what follows `[ERROR] `."""
    match = _PYTHON.fullmatch(text)
    if match is None:
        return None
    name, message, separator, trace = match.groups()
    return _attributes(name, message or "", trace.replace(separator, "\n"))


def of_java(text: str) -> dict[str, str] | None:
    """`message: class`, then what printStackTrace printed."""
    # Asked of every plain line, so first what is cheap to ask.
    match = _JAVA.fullmatch(text) if "\n\tat " in text else None
    return _attributes(match[2], match[1], match[3]) if match else None


def of_dotnet(text: str) -> dict[str, str] | None:
    """What Exception.ToString prints: it is message and stack trace in one."""
    match = _DOTNET.match(text)
    return _attributes(match[1], match[2], text) if match else None


def of_node(text: str) -> dict[str, str] | None:
    """`Invoke Error` or one of its kin, then the error as JSON; of JSON that was cut off, no attributes."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    try:
        return of_object(orjson.loads(match[1])) or {}
    except orjson.JSONDecodeError:
        return {}


def of_object(error: dict[str, Any]) -> dict[str, str] | None:
    """An error as an object: errorType, errorMessage, and the stack under one of its three names."""
    name, message = error.get("errorType"), error.get("errorMessage")
    trace = joined(error.get("stack") or error.get("stackTrace") or error.get("trace"))
    if not (isinstance(name, str) and isinstance(message, str)):
        return None
    return _attributes(name, message, trace)


def joined(trace: Any) -> str:
    """A stack trace in one piece, from its lines or from text of several lines; "" if it is neither."""
    if isinstance(trace, str):
        return trace if "\n" in trace else ""
    if not isinstance(trace, list) or not all(isinstance(line, str) for line in trace):
        return ""
    # Python's entries carry their line ends, and may be of two lines each.
    return ("" if trace and trace[0].endswith("\n") else "\n").join(trace)


def _attributes(name: str, message: str, trace: str) -> dict[str, str]:
    return {TYPE: name, MESSAGE: message, STACKTRACE: trace} if trace else {TYPE: name, MESSAGE: message}
