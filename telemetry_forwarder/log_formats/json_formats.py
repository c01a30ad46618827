"""Parses the objects of JSON loggers: Lambda's runtimes, Powertools, and common libraries.

Pure; never raises; loses nothing. Values that are understood become fields of the line; values that are understood only
in part, or not at all, stay attributes under their own keys, with their types.
"""

from collections.abc import Iterable
from typing import Any, TypeGuard

from telemetry_forwarder.log_formats import attribute_names, exceptions, severity, stack_traces
from telemetry_forwarder.log_formats.json_keys import (
    BODY,
    ERROR_TYPE,
    FIELD_OF,
    KINDS,
    find_field,
    find_shape,
    is_container,
)
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, parsed_line
from telemetry_forwarder.telemetry.trace_context import TraceIds

# The keys under which the runtimes themselves write the request id.
_RUNTIME_KEYS = frozenset({"requestId", "AWSRequestId", "AWSrequestId"})
_NO_ERROR: list[Any] = [None] * (KINDS - ERROR_TYPE)
_SEVERITY_KEYS = frozenset({"severity_text", "severityText", "severity_number", "severityNumber"})
# Members of an object in the object that are read.
_MAX_MEMBERS = 64


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
    attributes = {name: record[key] for key, name in shape.others}
    return _line(record, attributes, keys, values, containers=shape.containers)


def read_key_by_key(record: dict[str, Any]) -> ParsedLine:
    """Return the same as `read_object` for any object, more slowly."""
    attributes: dict[str, Any] = {}
    keys, values, ranks = [""] * KINDS, [None] * KINDS, [0] * KINDS
    for key, value in record.items():
        field = FIELD_OF.get(key) or find_field(key)
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
    attributes = attribute_names.name_attributes(attributes)
    return _line(record, attributes, keys, values, containers=tuple(filter(is_container, record)))


def _line(
    record: dict[str, Any], attributes: dict[str, Any], keys: list[str], values: list[Any], *, containers: Iterable[str]
) -> ParsedLine:
    for key in containers:
        attributes = _read_members(key, record[key], attributes, values)
    body, level, time_ns, request_id, trace, span_id = values[:ERROR_TYPE]
    _, level_key, time_key, request_key, trace_key, span_key = keys[:ERROR_TYPE]
    error = values[ERROR_TYPE:]
    if level_key and type(record[level_key]) is dict:
        # Its name is not all of it.
        attributes[level_key] = record[level_key]
    if trace or span_id:
        trace, span_id = _read_ids(record, attributes, (trace_key, span_key), ids=(trace, span_id))
    if error == _NO_ERROR:
        if level and level[0] >= severity.ERROR:
            attributes = _read_other_error(attributes)
    else:
        attributes = _name_exception(record, attributes, keys[ERROR_TYPE:], error)
    if body is None or (body == "" and stack_traces.MESSAGE in attributes):
        body, attributes = _body_without_message(record, attributes)
    if level and body is record and not time_ns and level_key.lower() == "level" and type(record[level_key]) is int:
        # Without a message or a time it may be anything.
        level = (0, "")
    if level is None:
        level, attributes = _level_of_layout(record, attributes)
    # If the body is the whole object, it contains the request id and the time anyway.
    is_part = body is not record
    return parsed_line(
        body,
        severity_number=level[0],
        severity_text=level[1],
        time_ns=time_ns or 0,
        request_id=request_id or "",
        attributes=attributes,
        trace_id=trace or "",
        span_id=span_id or "",
        request_id_key=request_key if is_part else "",
        has_runtime_format=request_key in _RUNTIME_KEYS and _has_runtime_keys(record),
        own_time=(time_key, record[time_key]) if time_key and is_part else None,
    )


def _read_ids(
    record: dict[str, Any],
    attributes: dict[str, Any],
    keys: tuple[str, str],
    *,
    ids: tuple[TraceIds | None, str | None],
) -> tuple[str, str]:
    """Return trace and span id; add to *attributes* what of them is more than an id, or not used."""
    (trace_key, span_key), (trace, span_id) = keys, ids
    if trace is None:
        if span_key:
            attributes[span_key] = record[span_key]
        return "", ""
    if trace_key and "=" in str(record[trace_key]):
        # The rest of a header.
        attributes[trace_key] = record[trace_key]
    return trace[0], span_id or trace[1]


def _has_runtime_keys(record: dict[str, Any]) -> bool:
    return "timestamp" in record and ("level" in record or "log_level" in record)


def _read_members(key: str, container: Any, attributes: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """Read what *container* has and *values* lack; it stays an attribute, without the message if that is used."""
    # tracing lists the spans from the outermost to the innermost.
    objects = container[:_MAX_MEMBERS] if isinstance(container, list) else [container]
    for inner in filter(_is_object, objects):
        for name in list(inner)[:_MAX_MEMBERS]:
            field = find_field(f"{key}.{name}")
            if field is None or inner[name] is None:
                continue
            _, kind, read = field
            result = read(inner[name]) if values[kind] is None else None
            if result is None or (kind >= ERROR_TYPE and key not in attributes):
                continue
            values[kind] = result
            if kind == BODY and inner is container:
                rest: dict[str, Any] = {other: value for other, value in inner.items() if other != name}
                others = {other: value for other, value in attributes.items() if other != key}
                attributes = {**others, key: rest} if rest else others
    return attributes


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _name_exception(
    record: dict[str, Any], attributes: dict[str, Any], keys: list[str], values: list[Any]
) -> dict[str, Any]:
    """Return *attributes* with the parts of an exception under their conventional names.

    One part alone is not an exception, unless it is a stack trace: an `errorType` may mean anything.
    """
    *parts, error = values
    *part_keys, error_key = keys
    exception: dict[str, str] = {}
    if error is not None or parts[-1] is not None or len([part for part in parts if part]) > 1:
        found = (stack_traces.find_exception(parts[-1]) or {}) if parts[-1] else {}
        named = {name: part for name, part in zip(stack_traces.NAMES, parts, strict=True) if part is not None}
        exception = {**found, **(error[0] if error else {}), **named}
        if stack_traces.MESSAGE not in exception and isinstance(text := attributes.get("error"), str):
            # Go's loggers write the message of the error by itself.
            exception[stack_traces.MESSAGE] = text
    # A value that is empty or not used stays.
    for key, name, part in zip(part_keys, stack_traces.NAMES, parts, strict=True):
        if key and exception.get(name) != part:
            attributes[key] = record[key]
    if error_key and error is not None and error[1] is not None:
        attributes[error_key] = error[1]
    return attribute_names.override(attributes, exception)


def _read_other_error(attributes: dict[str, Any]) -> dict[str, Any]:
    """Read the first error with a stack trace that has a name of the user's choice."""
    for key, value in attributes.items():
        if isinstance(value, dict) and (error := exceptions.read_error(value)) and stack_traces.STACKTRACE in error[0]:
            others = {other: part for other, part in attributes.items() if other != key}
            if error[1] is not None:
                others[key] = error[1]
            return attribute_names.override(others, error[0])
    for value in attributes.values():
        # In an object for all of a line's fields, which stays complete.
        for inner in list(value.values())[:_MAX_MEMBERS] if isinstance(value, dict) else ():
            if (
                isinstance(inner, dict)
                and (error := exceptions.read_error(inner))
                and stack_traces.STACKTRACE in error[0]
            ):
                return attribute_names.override(attributes, error[0])
    return attributes


def _body_without_message(record: dict[str, Any], attributes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if stack_traces.MESSAGE in attributes:
        return attributes[stack_traces.MESSAGE], attributes
    if isinstance(record.get("body"), str) and not _SEVERITY_KEYS.isdisjoint(record):
        # OpenTelemetry's own log record.
        return record["body"], {key: value for key, value in attributes.items() if key != "body"}
    exception = {name: attributes[name] for name in stack_traces.NAMES if name in attributes}
    return record, exception


def _level_of_layout(record: dict[str, Any], attributes: dict[str, Any]) -> tuple[tuple[int, str], dict[str, Any]]:
    """Return the level that only the other keys of the object explain, and the remaining attributes."""
    if "short_message" in record and type(level := record.get("level")) is int and severity.from_syslog(level):
        # https://go2docs.graylog.org/current/getting_in_log_data/gelf.html
        return (severity.from_syslog(level), str(level)), {k: v for k, v in attributes.items() if k != "level"}
    if "@t" in record and "@l" not in record and ("@m" in record or "@mt" in record):
        # Serilog leaves out the level of information. https://github.com/serilog/serilog-formatting-compact
        return (9, ""), attributes
    return (0, ""), attributes
