"""Reads the objects of JSON loggers: of Lambda's runtimes, Powertools, and the usual libraries.

Pure; never raises; loses nothing. What is understood leaves the attributes for
the line's own fields; what is understood in part, or not at all, stays an attribute under its own name, with
its type.
"""

from typing import Any

from telemetry_forwarder.log_formats import exceptions
from telemetry_forwarder.log_formats.json_keys import FIELD_OF, KINDS, shape_of
from telemetry_forwarder.log_formats.parsed_line import ParsedLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    # A key that was understood: its place in the order of precedence, itself, its value, what it was read as.
    _Taken = tuple[int, str, Any, Any]

# Where the runtimes themselves write the request id.
_RUNTIMES_ID = frozenset({"requestId", "AWSRequestId", "AWSrequestId"})
_EXCEPTION = (exceptions.TYPE, exceptions.MESSAGE, exceptions.STACKTRACE)


def read_object(record: dict[str, Any]) -> ParsedLine:
    """What a JSON object says, but whether it tells of a failure. Does not change *record*, but shares its values."""
    try:
        shape = shape_of(tuple(record))
    except ValueError:
        shape = None
    if shape is None:
        return read_key_by_key(record)
    taken: list[_Taken | None] = [None] * KINDS
    for key, place, kind, read in shape.fields:
        value = record[key]
        if value is None or (reading := read(value)) is None:
            # It stays an attribute, in its place among the others.
            return read_key_by_key(record)
        taken[kind] = (place, key, value, reading)
    return _line(record, {key: record[key] for key in shape.others}, taken)


def read_key_by_key(record: dict[str, Any]) -> ParsedLine:
    """What `read_object` says, of any object, in half as much time again."""
    attributes: dict[str, Any] = {}
    taken: list[_Taken | None] = [None] * KINDS
    for key, value in record.items():
        field = FIELD_OF.get(key) or FIELD_OF.get(key.lower())
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


def _line(record: dict[str, Any], attributes: dict[str, Any], taken: "list[_Taken | None]") -> ParsedLine:
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
    return ParsedLine(
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
    if exceptions.MESSAGE in exception:
        return exception[exceptions.MESSAGE], attributes
    # Rust's tracing has its message among the fields.
    fields = attributes.get("fields")
    if isinstance(fields, dict) and fields.get("message") is not None:
        others = {key: value for key, value in fields.items() if key != "message"}
        del attributes["fields"]
        return fields["message"], {**attributes, "fields": others} if others else attributes
    return record, {**exception}
