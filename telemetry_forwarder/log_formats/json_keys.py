"""The keys of JSON loggers: which key holds what, and how its value is read. Pure; never raises.

Keys are matched in any case. A reader returns None for a value that is not what its key promises.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from telemetry_forwarder.log_formats import exceptions, severity
from telemetry_forwarder.log_formats.parsed_line import UUID
from telemetry_forwarder.telemetry import trace_context
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

# Objects with more keys, or with more characters in them, are not written again and again by a logger.
_MAX_KEYS = 32
_MAX_KEYS_LENGTH = 512


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _level(value: Any) -> tuple[int, str] | None:
    if isinstance(value, str):
        number = severity.from_name(value)
        return (number, value) if number else None
    # In Python, bool is an int.
    number = severity.from_pino(value) if type(value) is int else 0
    return (number, str(value)) if number else None


def _python_level(value: Any) -> tuple[int, str] | None:
    number = severity.from_python(value) if type(value) is int else 0
    return (number, str(value)) if number else None


def read_time(value: Any) -> int | None:
    return parse_time_ns(value) or None


def _instant(value: Any) -> int | None:
    """Read log4j2's two numbers; an object with other members is not log4j2's."""
    if not isinstance(value, dict) or set(value) != {"epochSecond", "nanoOfSecond"}:
        return None
    nanos = value["nanoOfSecond"]
    whole = parse_time_ns(value["epochSecond"])
    return whole + nanos if whole and type(nanos) is int and 0 <= nanos < 1_000_000_000 else None


def _request_id(value: Any) -> str | None:
    """Read any id under Lambda's own names: emulators do not use UUIDs, and outside of invocations it is empty."""
    return value if isinstance(value, str) and len(value) <= 64 and " " not in value else None


def _likely_request_id(value: Any) -> str | None:
    return value if isinstance(value, str) and UUID.fullmatch(value) else None


def _trace_id(value: Any) -> str | None:
    return trace_context.parse_trace_id(value) or trace_context.parse_root(value) or None


def _unless_empty(parse: Callable[[Any], str]) -> Callable[[Any], str | None]:
    return lambda value: parse(value) or None


# The kinds of value that a key can hold.
BODY, SEVERITY, TIME, REQUEST_ID, TRACE_ID, SPAN_ID, ERROR_TYPE, ERROR_MESSAGE, STACK_TRACE = range(9)
KINDS = 9

# In order of precedence: of several keys of one kind, the first that can be read is used, the others stay attributes.
_FIELDS: tuple[tuple[int, Callable[[Any], Any], str], ...] = (
    (BODY, lambda value: value, "message msg @m renderedmessage"),
    (BODY, _text, "@mt messagetemplate short_message event"),
    (SEVERITY, _level, "level log_level severity @l levelname loglevel log.level lvl"),
    (SEVERITY, _python_level, "levelno"),
    (TIME, _instant, "instant"),
    (TIME, read_time, "timestamp @timestamp time @t ts timemillis asctime"),
    (REQUEST_ID, _request_id, "awsrequestid function_request_id functionrequestid requestid aws_request_id"),
    (REQUEST_ID, _request_id, "faas.invocation_id"),
    (REQUEST_ID, _likely_request_id, "request_id"),
    (TRACE_ID, _trace_id, "trace_id traceid trace.id oteltraceid xray_trace_id xraytraceid x-amzn-trace-id"),
    (SPAN_ID, _unless_empty(trace_context.parse_span_id), "span_id spanid span.id otelspanid"),
    (ERROR_TYPE, _text, "errortype exception_name"),
    (ERROR_MESSAGE, _text, "errormessage"),
    (STACK_TRACE, _unless_empty(exceptions.join_stack_trace), "stacktrace stack_trace @x exception exc_info stack"),
)
_KEYS = [(key, kind, read) for kind, read, keys in _FIELDS for key in keys.split()]
FIELD_OF = {key: (rank, kind, read) for rank, (key, kind, read) in enumerate(_KEYS)}
"""By lower-case key: its rank in the order of precedence, its kind, its reader."""


class Shape(NamedTuple):
    """The meaning of every object with certain keys, if no two of them are of one kind."""

    fields: tuple[tuple[str, int, Callable[[Any], Any]], ...]
    """Of each known key: itself, its kind, its reader."""
    others: tuple[str, ...]


# A logger's lines have the same keys in the same order: their meaning is determined once.
@lru_cache(maxsize=256)
def find_shape(keys: tuple[str, ...]) -> Shape | None:
    """Return the shape of an object with *keys*; None if two of them are of one kind.

    Raises `ValueError` for keys that must not be cached: an exception is not cached.
    """
    if len(keys) > _MAX_KEYS or sum(map(len, keys)) > _MAX_KEYS_LENGTH:
        raise ValueError("too many keys, or too long ones")
    found = [(key, FIELD_OF.get(key) or FIELD_OF.get(key.lower())) for key in keys]
    fields = tuple([(key, *field[1:]) for key, field in found if field])
    if len({kind for _, kind, _ in fields}) < len(fields):
        return None
    return Shape(fields, tuple([key for key, field in found if not field]))
