"""Knows under which keys JSON loggers write what, and how to read it. Pure; never raises.

Names are found in any case. A reader gives None for a value that is not what its key promises.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from telemetry_forwarder.log_formats import exceptions, severity
from telemetry_forwarder.log_formats.parsed_line import UUID
from telemetry_forwarder.telemetry import trace_context
from telemetry_forwarder.telemetry.timestamps import time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Objects with more keys, or more characters in them, are nothing that a logger writes again and again.
_MOST_KEYS = 32
_LONGEST_KEYS = 512


def _message(value: Any) -> Any:
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _level(value: Any) -> tuple[int, str] | None:
    if isinstance(value, str):
        number = severity.of_name(value)
        return (number, value) if number else None
    # bool is an int to Python, but no level to anybody.
    number = severity.of_pino(value) if type(value) is int else 0
    return (number, str(value)) if number else None


def _python_level(value: Any) -> tuple[int, str] | None:
    number = severity.of_python(value) if type(value) is int else 0
    return (number, str(value)) if number else None


def _time(value: Any) -> int | None:
    return time_ns(value) or None


def _instant(value: Any) -> int | None:
    """log4j2's two numbers; with more than those two in it, it is somebody else's."""
    if not isinstance(value, dict) or set(value) != {"epochSecond", "nanoOfSecond"}:
        return None
    nanos = value["nanoOfSecond"]
    whole = time_ns(value["epochSecond"])
    return whole + nanos if whole and type(nanos) is int and 0 <= nanos < 1_000_000_000 else None


def _request_id(value: Any) -> str | None:
    """Any id under Lambda's own names: emulators do not make UUIDs. Empty outside of invocations."""
    return value if isinstance(value, str) and len(value) <= 64 and " " not in value else None


def _likely_request_id(value: Any) -> str | None:
    return value if isinstance(value, str) and UUID.fullmatch(value) else None


def _trace_id(value: Any) -> str | None:
    return trace_context.trace_id(value) or trace_context.root_of(value) or None


def _span_id(value: Any) -> str | None:
    return trace_context.span_id(value) or None


def _trace(value: Any) -> str | None:
    return exceptions.joined(value) or None


# The kinds: what a key can be for.
_BODY, _SEVERITY, _MOMENT, _REQUEST, _TRACE, _SPAN, _ERROR_TYPE, _ERROR_MESSAGE, _STACK = range(9)
KINDS = 9

# In order of precedence: of several keys for one thing the first that can be read is taken, the others stay.
_FIELDS: "tuple[tuple[str, int, Callable[[Any], Any]], ...]" = (
    ("message", _BODY, _message),
    ("msg", _BODY, _message),
    ("@m", _BODY, _message),
    ("renderedmessage", _BODY, _message),
    ("@mt", _BODY, _text),
    ("messagetemplate", _BODY, _text),
    ("short_message", _BODY, _text),
    ("event", _BODY, _text),
    ("level", _SEVERITY, _level),
    ("log_level", _SEVERITY, _level),
    ("severity", _SEVERITY, _level),
    ("@l", _SEVERITY, _level),
    ("levelname", _SEVERITY, _level),
    ("loglevel", _SEVERITY, _level),
    ("log.level", _SEVERITY, _level),
    ("lvl", _SEVERITY, _level),
    ("levelno", _SEVERITY, _python_level),
    ("instant", _MOMENT, _instant),
    ("timestamp", _MOMENT, _time),
    ("@timestamp", _MOMENT, _time),
    ("time", _MOMENT, _time),
    ("@t", _MOMENT, _time),
    ("ts", _MOMENT, _time),
    ("timemillis", _MOMENT, _time),
    ("asctime", _MOMENT, _time),
    ("awsrequestid", _REQUEST, _request_id),
    ("function_request_id", _REQUEST, _request_id),
    ("functionrequestid", _REQUEST, _request_id),
    ("requestid", _REQUEST, _request_id),
    ("aws_request_id", _REQUEST, _request_id),
    ("faas.invocation_id", _REQUEST, _request_id),
    ("request_id", _REQUEST, _likely_request_id),
    ("trace_id", _TRACE, _trace_id),
    ("traceid", _TRACE, _trace_id),
    ("trace.id", _TRACE, _trace_id),
    ("oteltraceid", _TRACE, _trace_id),
    ("xray_trace_id", _TRACE, _trace_id),
    ("xraytraceid", _TRACE, _trace_id),
    ("x-amzn-trace-id", _TRACE, _trace_id),
    ("span_id", _SPAN, _span_id),
    ("spanid", _SPAN, _span_id),
    ("span.id", _SPAN, _span_id),
    ("otelspanid", _SPAN, _span_id),
    ("errortype", _ERROR_TYPE, _text),
    ("exception_name", _ERROR_TYPE, _text),
    ("errormessage", _ERROR_MESSAGE, _text),
    ("stacktrace", _STACK, _trace),
    ("stack_trace", _STACK, _trace),
    ("@x", _STACK, _trace),
    ("exception", _STACK, _trace),
    ("exc_info", _STACK, _trace),
    ("stack", _STACK, _trace),
)
FIELD_OF = {name: (place, kind, read) for place, (name, kind, read) in enumerate(_FIELDS)}


class Shape(NamedTuple):
    """What is known of every object with certain keys, if no two of them are for one thing."""

    fields: "tuple[tuple[str, int, int, Callable[[Any], Any]], ...]"
    """Of each key that is understood: itself, its place in the order of precedence, its kind, its reader."""
    others: tuple[str, ...]


# A logger's lines have the same keys in the same order: what they mean is found out once.
@lru_cache(maxsize=256)
def shape_of(keys: tuple[str, ...]) -> Shape | None:
    """The shape of an object with *keys*; None where two of them are for one thing.

    Raises `ValueError` on keys that are not to be kept: what raises is in no cache.
    """
    if len(keys) > _MOST_KEYS or sum(map(len, keys)) > _LONGEST_KEYS:
        raise ValueError("not the keys of a logger")
    found = [(key, FIELD_OF.get(key) or FIELD_OF.get(key.lower())) for key in keys]
    fields = tuple([(key, *field) for key, field in found if field])
    if len({kind for _, _, kind, _ in fields}) < len(fields):
        return None
    return Shape(fields, tuple([key for key, field in found if not field]))


class Plan(NamedTuple):
    """The keys of an object that says the four things that runtimes write, each once, and nothing else we know."""

    message: str
    level: str
    moment: str
    request_id: str
    others: tuple[str, ...]


def plan_of(keys: tuple[str, ...]) -> Plan | None:
    """The plan of objects with *keys*; None where they say more, less, or too much to be kept."""
    try:
        shape = shape_of(keys)
    except ValueError:
        return None
    if shape is None or {kind for _, _, kind, _ in shape.fields} != {_BODY, _SEVERITY, _MOMENT, _REQUEST}:
        return None
    # The others are no moments where they are texts.
    if any(kind == _MOMENT and read is not _time for _, _, kind, read in shape.fields):
        return None
    named = {kind: key for key, _, kind, _ in shape.fields}
    return Plan(named[_BODY], named[_SEVERITY], named[_MOMENT], named[_REQUEST], shape.others)
