"""Parses the objects of JSON loggers: Lambda's runtimes, Powertools, and common libraries.

Pure; never raises; loses nothing. Values that are understood become fields of the line; values that are understood only
in part, or not at all, stay attributes under their own keys, with their types.
"""

from typing import Any, NamedTuple

from telemetry_forwarder.log_formats import exceptions
from telemetry_forwarder.log_formats.json_keys import FIELD_OF, KINDS, find_shape
from telemetry_forwarder.log_formats.parsed_line import ParsedLine

# The keys under which the runtimes themselves write the request id.
_RUNTIME_KEYS = frozenset({"requestId", "AWSRequestId", "AWSrequestId"})
_EXCEPTION = (exceptions.TYPE, exceptions.MESSAGE, exceptions.STACKTRACE)


class _Field(NamedTuple):
    """A known key whose value could be read."""

    rank: int
    """In the order of precedence."""
    key: str
    value: Any
    read: Any
    """The result of the key's reader."""


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
    found: list[_Field | None] = [None] * KINDS
    for key, rank, kind, read in shape.fields:
        value = record[key]
        if value is None or (result := read(value)) is None:
            # It stays an attribute, at its place among the others.
            return read_key_by_key(record)
        found[kind] = _Field(rank, key, value, result)
    return _line(record, {key: record[key] for key in shape.others}, found)


def read_key_by_key(record: dict[str, Any]) -> ParsedLine:
    """Return the same as `read_object` for any object, more slowly."""
    attributes: dict[str, Any] = {}
    found: list[_Field | None] = [None] * KINDS
    for key, value in record.items():
        known = FIELD_OF.get(key) or FIELD_OF.get(key.lower())
        if known is None or value is None:
            attributes[key] = value
            continue
        rank, kind, read = known
        rival = found[kind]
        result = read(value)
        if result is None or (rival and rival.rank <= rank):
            attributes[key] = value
            continue
        if rival:
            attributes[rival.key] = rival.value
        found[kind] = _Field(rank, key, value, result)
    return _line(record, attributes, found)


def _line(record: dict[str, Any], attributes: dict[str, Any], found: list[_Field | None]) -> ParsedLine:
    message, level, timestamp, request, trace, span, *error = found
    body = message.read if message else None
    severity_number, severity_text = level.read if level else (0, "")
    if trace or span:
        _keep_unused_ids(trace, span, attributes)
    exception = _name_exception(error, attributes) if any(error) else {}
    if body is None:
        body, attributes = _body_without_message(record, attributes, exception)
    # If the body is the whole object, it contains the request id and the time anyway.
    is_part = body is not record
    request_key = request.key if request else ""
    has_runtime_format = (
        request_key in _RUNTIME_KEYS
        and "timestamp" in record
        and ("level" in record or "log_level" in record)
    )
    return ParsedLine(
        body,
        severity_number=severity_number,
        severity_text=severity_text,
        time_ns=timestamp.read if timestamp else 0,
        request_id=request.read if request else "",
        attributes=attributes,
        trace_id=trace.read if trace else "",
        span_id=span.read if span and trace else "",
        request_id_key=request_key if is_part else "",
        has_runtime_format=has_runtime_format,
        own_time=(timestamp.key, timestamp.value) if timestamp and is_part else None,
    )


def _keep_unused_ids(trace: _Field | None, span: _Field | None, attributes: dict[str, Any]) -> None:
    """Keep as attributes what the line's ids do not contain: the rest of a header, a span id without a trace id."""
    if trace and "=" in trace.value:
        attributes[trace.key] = trace.value
    if span and not trace:
        attributes[span.key] = span.value


def _name_exception(error: list[_Field | None], attributes: dict[str, Any]) -> dict[str, str]:
    """Add the parts of an exception to *attributes* under their conventional names, and return those.

    One part alone is not an exception, unless it is a stack trace: an `errorType` may mean anything.
    """
    parts = [(name, part) for name, part in zip(_EXCEPTION, error, strict=True) if part]
    is_exception = len(parts) > 1 or error[2] is not None
    exception = {}
    for name, part in parts:
        if is_exception and name not in attributes:
            exception[name] = attributes[name] = part.read
        else:
            attributes[part.key] = part.value
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
