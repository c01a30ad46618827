"""The keys of JSON loggers: which key holds what, and how its value is read. Pure; never raises.

Keys are matched in any case. A reader returns None for a value that is not what its key promises.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from telemetry_forwarder.log_formats import exceptions, severity, stack_traces
from telemetry_forwarder.log_formats.attribute_names import name_keys
from telemetry_forwarder.log_formats.parsed_line import UUID
from telemetry_forwarder.telemetry import trace_context
from telemetry_forwarder.telemetry.timestamps import parse_time_ns
from telemetry_forwarder.telemetry.trace_context import TraceIds

# Objects with more keys, or with more characters in them, are not written again and again by a logger.
_MAX_KEYS = 32
_MAX_KEYS_LENGTH = 512


# Objects for the context of a line, in lower case.
_CONTEXTS = (
    *("mdc", "contextmap", "context", "ctx", "trace_context", "lambda", "lambda_context", "extra", "properties"),
    *("attributes", "logging.googleapis.com/labels", "labels", "span", "spans", "fields"),
)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _level(value: Any) -> tuple[int, str] | None:
    if isinstance(value, str):
        number = severity.from_name(value)
        return (number, value if value.isalpha() else severity.clean(value)) if number else None
    if isinstance(value, dict):
        # loguru's, log4js's and others'.
        return _level(next(filter(None, map(value.get, ("name", "levelStr", "label", "text"))), None))
    # In Python, bool is an int.
    number = severity.from_number(value) if type(value) is int else 0
    return (number, str(value)) if number else None


def _python_level(value: Any) -> tuple[int, str] | None:
    number = severity.from_python(value) if type(value) is int else 0
    return (number, str(value)) if number else None


def _severity(value: Any) -> tuple[int, str] | None:
    if type(value) is not int:
        return _level(value)
    number = severity.from_severity(value)
    return (number, str(value)) if number else None


def _severity_number(value: Any) -> tuple[int, str] | None:
    """Read OpenTelemetry's own number. https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber"""
    return (value, str(value)) if type(value) is int and 1 <= value <= 24 else None


def read_time(value: Any) -> int | None:
    return parse_time_ns(value) or None


def _instant(value: Any) -> int | None:
    """Read log4j2's two numbers, or loguru's text and number; other objects are not theirs."""
    if not isinstance(value, dict):
        return None
    if set(value) == {"repr", "timestamp"}:
        return read_time(value["timestamp"])
    if set(value) != {"epochSecond", "nanoOfSecond"}:
        return None
    nanos = value["nanoOfSecond"]
    whole = parse_time_ns(value["epochSecond"])
    return whole + nanos if whole and type(nanos) is int and 0 <= nanos < 1_000_000_000 else None


def _request_id(value: Any) -> str | None:
    """Read any id under Lambda's own names: emulators do not use UUIDs, and outside of invocations it is empty."""
    return value if isinstance(value, str) and len(value) <= 64 and " " not in value else None


def _likely_request_id(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(UUID, value) else None


def _trace_ids(value: Any) -> TraceIds | None:
    ids = trace_context.parse_trace_ids(value)
    return ids if ids[0] else None


def _datadog_trace_id(value: Any) -> TraceIds | None:
    trace_id = trace_context.parse_decimal_id(value, digits=32) or trace_context.parse_trace_id(value)
    return (trace_id, "") if trace_id else None


def _datadog_span_id(value: Any) -> str | None:
    return trace_context.parse_decimal_id(value, digits=16) or trace_context.parse_span_id(value) or None


def _stack_trace(value: Any) -> str | None:
    trace = exceptions.join_stack_trace(value)
    return trace if trace and exceptions.has_only_lines(value) else None


def _trace_in_text(value: Any) -> exceptions.ReadError | None:
    exception = stack_traces.find_exception(value) if isinstance(value, str) else None
    if exception is None:
        return None
    return exception, None if exception.get(stack_traces.STACKTRACE) == value else value


def _span_id(value: Any) -> str | None:
    return trace_context.parse_span_id(value) or None


def _inside(keys: str) -> str:
    """Return *keys* as those of objects in which loggers write their context."""
    return " ".join([f"{container}.{key}" for key in keys.split() for container in _CONTEXTS])


# The kinds of value that a key can hold.
BODY, SEVERITY, TIME, REQUEST_ID, TRACE_ID, SPAN_ID, ERROR_TYPE, ERROR_MESSAGE, STACK_TRACE, ERROR = range(10)
KINDS = 10

# In order of precedence: of several keys of one kind, the first that can be read is used, the others stay attributes.
# A dot also stands for an object in the object: `log.level` is {"log": {"level": …}}, too.
_FIELDS: tuple[tuple[int, Callable[[Any], Any], str], ...] = (
    (BODY, lambda value: value, "message msg @m renderedmessage @message"),
    (BODY, _text, "@mt messagetemplate short_message event fields.message record.message log"),
    (SEVERITY, _level, "severity_text severitytext level_name level log_level"),
    (SEVERITY, _severity, "severity"),
    (SEVERITY, _level, "@l levelname loglevel log.level @level lvl record.level @fields.level fields.level"),
    (SEVERITY, _level, "context.loglevel"),
    (SEVERITY, _python_level, "levelno"),
    (SEVERITY, _severity_number, "severity_number severitynumber"),
    (TIME, _instant, "instant record.time"),
    (TIME, read_time, "timestamp @timestamp time @t ts timemillis asctime datetime"),
    (REQUEST_ID, _request_id, "awsrequestid function_request_id functionrequestid requestid aws_request_id"),
    (REQUEST_ID, _request_id, "faas.invocation_id faas.execution"),
    (REQUEST_ID, _likely_request_id, "lambda_request_id lambdarequestid aws.request_id request_id"),
    (REQUEST_ID, _likely_request_id, _inside("awsrequestid aws_request_id requestid request_id")),
    (
        TRACE_ID,
        _trace_ids,
        "trace_id traceid trace.id trace.trace_id oteltraceid otel_trace_id otel.trace_id x-b3-traceid b3 @tr "
        "traceparent",
    ),
    (TRACE_ID, _trace_ids, "logging.googleapis.com/trace scopes.traceid"),
    (TRACE_ID, _trace_ids, _inside("otel.trace_id trace_id traceid traceparent")),
    (TRACE_ID, _datadog_trace_id, "dd.trace_id mdc.dd.trace_id contextmap.dd.trace_id"),
    (TRACE_ID, _trace_ids, "xray_trace_id xraytraceid x-amzn-trace-id span.xraytraceid spans.xraytraceid"),
    (SPAN_ID, _span_id, "span_id spanid span.id trace.span_id otelspanid otel_span_id x-b3-spanid otel.span_id @sp"),
    (SPAN_ID, _span_id, "logging.googleapis.com/spanid scopes.spanid transaction.id"),
    (SPAN_ID, _span_id, _inside("otel.span_id span_id spanid")),
    (SPAN_ID, _datadog_span_id, "dd.span_id mdc.dd.span_id contextmap.dd.span_id"),
    (ERROR_TYPE, _text, "errortype exception_name error.type exception.type error.kind"),
    (ERROR_MESSAGE, _text, "errormessage error.message exception.message"),
    (
        STACK_TRACE,
        _stack_trace,
        "stacktrace stack_trace stack error.stack_trace error.stack exception.stacktrace trace errorverbose",
    ),
    (ERROR, exceptions.read_error, "err error exception thrown throwable exc_info @x record.exception"),
    (ERROR, exceptions.read_error, "context.exception context.error @fields.error"),
    (ERROR, _trace_in_text, "full_message"),
)
_KEYS = [(key, kind, read) for kind, read, keys in _FIELDS for key in keys.split()]
FIELD_OF = {key: (rank, kind, read) for rank, (key, kind, read) in enumerate(_KEYS)}
"""By lower-case key: its rank in the order of precedence, its kind, its reader."""
CONTAINERS = frozenset(key.rpartition(".")[0] for key in FIELD_OF if "." in key)
"""Lower-case keys of objects with known keys inside."""


def find_field(key: str) -> tuple[int, int, Callable[[Any], Any]] | None:
    """Return rank, kind and reader of *key*; None if it is unknown.

    In any case, with hyphens or underscores, and with an underscore before it, as GELF has.
    """
    lower = key.lower()
    if (field := FIELD_OF.get(lower)) or not (other := FIELD_OF.get(lower.replace("-", "_").removeprefix("_"))):
        return field
    # Every exact key comes before it.
    rank, kind, read = other
    return len(FIELD_OF) + rank, kind, read


def is_container(key: str) -> bool:
    return key in CONTAINERS or key.lower() in CONTAINERS


class Shape(NamedTuple):
    """The meaning of every object with certain keys, if no two of them are of one kind."""

    fields: tuple[tuple[str, int, Callable[[Any], Any]], ...]
    """Of each known key: itself, its kind, its reader."""
    others: tuple[tuple[str, str], ...]
    """Of each unknown key: itself, and the name of its attribute."""
    containers: tuple[str, ...]
    """Of the keys, those of objects that may contain known keys."""


# A logger's lines have the same keys in the same order: their meaning is determined once.
@lru_cache(maxsize=256)
def find_shape(keys: tuple[str, ...]) -> Shape | None:
    """Return the shape of an object with *keys*; None if two of them are of one kind.

    Raises `ValueError` for keys that must not be cached: an exception is not cached.
    """
    if len(keys) > _MAX_KEYS or sum(map(len, keys)) > _MAX_KEYS_LENGTH:
        raise ValueError("too many keys, or too long ones")
    found = [(key, FIELD_OF.get(key) or find_field(key)) for key in keys]
    fields = tuple([(key, *field[1:]) for key, field in found if field])
    if len({kind for _, kind, _ in fields}) < len(fields):
        return None
    names = zip(keys, name_keys(keys), strict=True)
    known = {key for key, *_ in fields}
    others = tuple([(key, name) for key, name in names if key not in known])
    return Shape(fields, others, tuple(filter(is_container, keys)))
