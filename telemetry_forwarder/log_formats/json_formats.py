"""Parses the objects of JSON loggers: Lambda's runtimes, Powertools, and common libraries.

Pure; never raises; loses nothing. Values that are understood become fields of the line; values that are understood only
in part, or not at all, stay attributes under their own keys, with their types.
"""

from typing import Any

from telemetry_forwarder.log_formats import exceptions
from telemetry_forwarder.log_formats.json_keys import FIELD_OF, KINDS, find_shape
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, parsed_line

# The keys under which the runtimes themselves write the request id.
_RUNTIME_KEYS = frozenset({"requestId", "AWSRequestId", "AWSrequestId"})
_EXCEPTION = (exceptions.TYPE, exceptions.MESSAGE, exceptions.STACKTRACE)


def read_object(record: dict[str, Any]) -> ParsedLine:
    """Parse a JSON object; does not decide whether it reports a failure.

    Does not change *record*, but the line shares its values.
    """
    try:
        shape = find_shape(tuple(record))
    except ValueError:
        shape = None
    if shape is None:
        return read_key_by_key(record)
    # By kind: the key that is used, and its value as read.
    keys, values = [""] * KINDS, [None] * KINDS
    for key, kind, read in shape.fields:
        value = record[key]
        if value is None or (result := read(value)) is None:
            # It stays an attribute, at its place among the others.
            return read_key_by_key(record)
        keys[kind], values[kind] = key, result
    return _line(record, {key: record[key] for key in shape.others}, keys, values)


def read_key_by_key(record: dict[str, Any]) -> ParsedLine:
    """Return the same as `read_object` for any object, more slowly."""
    attributes: dict[str, Any] = {}
    keys, values, ranks = [""] * KINDS, [None] * KINDS, [0] * KINDS
    for key, value in record.items():
        field = FIELD_OF.get(key) or FIELD_OF.get(key.lower())
        if field is None or value is None:
            attributes[key] = value
            continue
        rank, kind, read = field
        rival = keys[kind]
        result = read(value)
        if result is None or (rival and ranks[kind] <= rank):
            attributes[key] = value
            continue
        if rival:
            attributes[rival] = record[rival]
        keys[kind], values[kind], ranks[kind] = key, result, rank
    return _line(record, attributes, keys, values)


def _line(record: dict[str, Any], attributes: dict[str, Any], keys: list[str], values: list[Any]) -> ParsedLine:
    body, level, time_ns, request_id, trace_id, span_id, error_type, message, stack_trace = values
    _, _, time_key, request_key, trace_key, span_key, *error_keys = keys
    if trace_id and "=" in record[trace_key]:
        # The rest of a header.
        attributes[trace_key] = record[trace_key]
    if span_id and not trace_id:
        attributes[span_key] = record[span_key]
        span_id = ""
    exception = {}
    if error_type or message or stack_trace:
        exception = _name_exception(record, attributes, error_keys, values[-len(error_keys) :])
    if body is None:
        body, attributes = _body_without_message(record, attributes, exception)
    # If the body is the whole object, it contains the request id and the time anyway.
    is_part = body is not record
    severity_number, severity_text = level or (0, "")
    return parsed_line(
        body,
        severity_number=severity_number,
        severity_text=severity_text,
        time_ns=time_ns or 0,
        request_id=request_id or "",
        attributes=attributes,
        trace_id=trace_id or "",
        span_id=span_id or "",
        request_id_key=request_key if is_part else "",
        has_runtime_format=request_key in _RUNTIME_KEYS and _has_runtime_keys(record),
        own_time=(time_key, record[time_key]) if time_key and is_part else None,
    )


def _has_runtime_keys(record: dict[str, Any]) -> bool:
    return "timestamp" in record and ("level" in record or "log_level" in record)


def _name_exception(
    record: dict[str, Any], attributes: dict[str, Any], keys: list[str], values: list[Any]
) -> dict[str, str]:
    """Add the parts of an exception to *attributes* under their conventional names, and return those.

    One part alone is not an exception, unless it is a stack trace: an `errorType` may mean anything.
    """
    is_exception = len(list(filter(None, keys))) > 1 or values[-1] is not None
    exception = {}
    for name, key, value in zip(_EXCEPTION, keys, values, strict=True):
        if is_exception and key and name not in attributes:
            exception[name] = attributes[name] = value
        elif key:
            attributes[key] = record[key]
    return exception


def _body_without_message(
    record: dict[str, Any], attributes: dict[str, Any], exception: dict[str, str]
) -> tuple[Any, dict[str, Any]]:
    if exceptions.MESSAGE in exception:
        return exception[exceptions.MESSAGE], attributes
    # Rust's tracing writes its message among the fields.
    fields = attributes.get("fields")
    if isinstance(fields, dict) and fields.get("message") is not None:
        others = {key: value for key, value in fields.items() if key != "message"}
        del attributes["fields"]
        return fields["message"], {**attributes, "fields": others} if others else attributes
    return record, {**exception}
