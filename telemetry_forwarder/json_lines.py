"""Knows the keys of JSON loggers: of Lambda's runtimes, Powertools, and the usual libraries.

Pure; never raises; loses nothing. Names are found in any case. What is understood leaves the attributes for
the line's own fields; what is understood in part, or not at all, stays an attribute under its own name, with
its type.
"""

from typing import Any

from telemetry_forwarder import severity, stack_traces, trace_ids
from telemetry_forwarder.line import UUID, Line
from telemetry_forwarder.timestamps import time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    # A key that was understood: its place in the order of precedence, itself, its value, what it was read as.
    _Taken = tuple[int, str, Any, Any]

# Where the runtimes themselves write the request id.
_RUNTIMES_ID = frozenset({"requestId", "AWSRequestId", "AWSrequestId"})


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
    return trace_ids.trace_id(value) or trace_ids.root_of(value) or None


def _span_id(value: Any) -> str | None:
    return trace_ids.span_id(value) or None


def _trace(value: Any) -> str | None:
    return stack_traces.joined(value) or None


_BODY, _SEVERITY, _MOMENT, _REQUEST, _TRACE, _SPAN, _ERROR_TYPE, _ERROR_MESSAGE, _STACK = range(9)

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
_FIELD_OF = {name: (place, kind, read) for place, (name, kind, read) in enumerate(_FIELDS)}
_EXCEPTION = (stack_traces.TYPE, stack_traces.MESSAGE, stack_traces.STACKTRACE)


def read_object(record: dict[str, Any]) -> Line:
    """What a JSON object says, but whether it tells of a failure. Does not change *record*, but shares its values."""
    attributes: dict[str, Any] = {}
    taken: list[_Taken | None] = [None] * 9
    for key, value in record.items():
        field = _FIELD_OF.get(key) or _FIELD_OF.get(key.lower())
        if field is None or value is None:
            attributes[key] = value
            continue
        place, kind, read = field
        rival = taken[kind]
        reading = read(value)
        if reading is None or (rival and rival[0] <= place):
            attributes[key] = value
            continue
        if rival:
            attributes[rival[1]] = rival[2]
        taken[kind] = (place, key, value, reading)
    return _line(record, attributes, taken)


def _line(record: dict[str, Any], attributes: dict[str, Any], taken: "list[_Taken | None]") -> Line:
    message, level, moment, request, trace, span, name, cause, stack = taken
    body = message[3] if message else None
    number, level_text = level[3] if level else (0, "")
    if trace or span:
        _give_back_ids(trace, span, attributes)
    exception = _name_exception((name, cause, stack), attributes) if name or cause or stack else {}
    if body is None:
        body, attributes = _body_without_message(record, attributes, exception)
    # Where the whole object is the body, nothing that is not believed has to be kept beside it.
    has_rest = body is not record
    request_key = request[1] if request else ""
    has_runtime_format = (
        request_key in _RUNTIMES_ID and "timestamp" in record and ("level" in record or "log_level" in record)
    )
    return Line(
        body,
        number,
        level_text,
        moment[3] if moment else 0,
        request[3] if request else "",
        attributes,
        trace[3] if trace else "",
        span[3] if span and trace else "",
        False,
        request_key if has_rest else "",
        has_runtime_format,
        (moment[1], moment[2]) if moment and has_rest else None,
    )


def _give_back_ids(trace: "_Taken | None", span: "_Taken | None", attributes: dict[str, Any]) -> None:
    """Keep what an id in its own field does not say: the rest of a header, or a span of no trace."""
    if trace and "=" in trace[2]:
        attributes[trace[1]] = trace[2]
    if span and not trace:
        attributes[span[1]] = span[2]


def _name_exception(error: "tuple[_Taken | None, ...]", attributes: dict[str, Any]) -> dict[str, str]:
    """Give the parts of an exception their conventional names.

    One alone is none, unless it is a stack trace: an `errorType` may be anybody's word for anything.
    """
    parts = [(name, part) for name, part in zip(_EXCEPTION, error, strict=True) if part]
    is_exception = len(parts) > 1 or error[2] is not None
    exception = {}
    for name, (_, key, value, reading) in parts:
        if is_exception and name not in attributes:
            exception[name] = attributes[name] = reading
        else:
            attributes[key] = value
    return exception


def _body_without_message(
    record: dict[str, Any], attributes: dict[str, Any], exception: dict[str, str]
) -> tuple[Any, dict[str, Any]]:
    if stack_traces.MESSAGE in exception:
        return exception[stack_traces.MESSAGE], attributes
    # Rust's tracing has its message among the fields.
    fields = attributes.get("fields")
    if isinstance(fields, dict) and fields.get("message") is not None:
        others = {key: value for key, value in fields.items() if key != "message"}
        del attributes["fields"]
        return fields["message"], {**attributes, "fields": others} if others else attributes
    return record, {**exception}
