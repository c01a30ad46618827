"""A parsed log line, the ids in its text, and how its own time and request id are reconciled with Lambda's. Pure."""

import re
from typing import Any

from telemetry_forwarder.core.frozen import comparable
from telemetry_forwarder.log_formats import attribute_names
from telemetry_forwarder.telemetry import trace_context

UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Ids that a line names, in its first characters.
_MAX_LABELLED = 2_000
_REQUEST_ID = re.compile(rf"(?i:request[_-]?id)\"?(?:=|: ?)\"?({UUID})\b")
_TRACE_IDS = re.compile(r"(?i:traceparent|dd\.trace_id|trace[_-]?id)\"?(?:=|: ?)[\"']?([\w=;.-]{16,120})")
# Spring Boot's, with the application's name or without it: [orders,<trace id>,<span id>]
_SPRING_IDS = re.compile(r"\[(?:[^\s,\[\]]{0,80},)?((?!0{32})[0-9a-f]{32})[,-]((?!0{16})[0-9a-f]{16})[,\]]")
_SPAN_ID = re.compile(r"(?i:span[_-]?id)\"?(?:=|: ?)[\"']?(\w{16,20})\b")
# The level of a runtime's prefix, if the line behind it has one of its own.
_OUTER_LEVEL = attribute_names.RENAMED + "level"
_SECOND_NS = 1_000_000_000
# A line is written at most one invocation's duration before Lambda receives it; and clocks differ a little.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
_MAX_BEFORE_NS = 900 * _SECOND_NS
_MAX_AFTER_NS = 60 * _SECOND_NS


@comparable
class ParsedLine:
    """The content of one log line, whatever its format. Made by `parsed_line`, then never changed."""

    __slots__ = (
        "attributes", "body", "has_runtime_format", "is_uncaught_exception", "own_time", "request_id", "request_id_key",
        "severity_number", "severity_text", "span_id", "time_ns", "trace_id",
    )  # fmt: skip

    body: Any
    """The message: any JSON value; the whole object if it has no message."""
    severity_number: int
    """OTLP's, 1 to 24; 0 if unknown."""
    severity_text: str
    """The level as written in the line."""
    time_ns: int
    """The line's own timestamp; 0 if it has no valid one."""
    request_id: str
    attributes: dict[str, Any]
    """JSON values, nested ones included. Not shared: the caller may change the dict."""
    trace_id: str
    span_id: str
    is_uncaught_exception: bool
    """Whether a runtime reports an exception that the handler did not catch, or its own crash."""
    request_id_key: str
    """The attribute for a request id that is not Lambda's; empty if the body contains it anyway."""
    has_runtime_format: bool
    """Whether the request id is where a runtime writes it."""
    own_time: tuple[str, Any] | None
    """Key and value of the timestamp, kept if it is not believed; None if the body contains it anyway."""

    def replace(self, **changes: Any) -> "ParsedLine":
        return parsed_line(**{name: getattr(self, name) for name in self.__slots__} | changes)

    @property
    def exception_type(self) -> str:
        """The type of the exception that the line reports; empty if it reports none."""
        return str(self.attributes.get("exception.type") or "")

    @property
    def exception_message(self) -> str:
        """The message of the exception that the line reports; empty if it reports none."""
        return str(self.attributes.get("exception.message") or "")

    @property
    def has_likely_request_id(self) -> bool:
        """Whether the request id looks like Lambda's, even if no invocation has it."""
        return self.has_runtime_format and re.fullmatch(UUID, self.request_id) is not None


def parsed_line(  # noqa: PLR0913, PLR0917  # one parameter for each field
    body: Any,
    # Not keyword-only: defaults of keyword-only parameters are looked up one by one, which takes four times as long.
    severity_number: int = 0,
    severity_text: str = "",
    time_ns: int = 0,
    request_id: str = "",
    attributes: dict[str, Any] | None = None,
    trace_id: str = "",
    span_id: str = "",
    is_uncaught_exception: bool = False,
    request_id_key: str = "",
    has_runtime_format: bool = False,
    own_time: tuple[str, Any] | None = None,
) -> ParsedLine:
    """Return a line. A function, since a class packs its keyword arguments into a dict, which costs twice as much."""
    line = ParsedLine()
    line.body = body
    line.severity_number = severity_number
    line.severity_text = severity_text
    line.time_ns = time_ns
    line.request_id = request_id
    line.attributes = {} if attributes is None else attributes
    line.trace_id = trace_id
    line.span_id = span_id
    line.is_uncaught_exception = is_uncaught_exception
    line.request_id_key = request_id_key
    line.has_runtime_format = has_runtime_format
    line.own_time = own_time
    return line


def read_labelled_ids(line: ParsedLine) -> ParsedLine:
    """Read the ids that the text names: `requestId="…"`, `traceparent=…`, `dd.trace_id=…`."""
    text = line.body
    head = text[:_MAX_LABELLED]
    changes: dict[str, Any] = {}
    if not line.request_id and (request := _REQUEST_ID.search(head)):
        changes["request_id"] = request[1]
    if not line.trace_id and (trace := _TRACE_IDS.search(head)):
        ids = trace_context.parse_trace_ids(trace[1])
        trace_id = ids[0] or trace_context.parse_decimal_id(trace[1], digits=32)
        span = _SPAN_ID.search(head) if trace_id else None
        span_id = ids[1] or (
            trace_context.parse_span_id(span[1]) or trace_context.parse_decimal_id(span[1], digits=16) if span else ""
        )
        changes |= {"trace_id": trace_id, "span_id": span_id}
    elif " --- [" in head and (spring := _SPRING_IDS.search(head)):
        changes |= {"trace_id": spring[1], "span_id": spring[2]}
    return line.replace(**changes) if changes else line


def nest(outer: ParsedLine, inner: ParsedLine) -> ParsedLine:
    """Return *inner*, the user's line, with what the line around it knows: its request id and time stay."""
    has_level = inner.severity_number and (inner.severity_text or inner.is_uncaught_exception)
    level = inner if has_level or not outer.severity_number else outer
    ids, timed = outer if outer.request_id else inner, outer if outer.time_ns else inner
    trace = inner if inner.trace_id else outer
    return parsed_line(
        inner.body,
        severity_number=level.severity_number,
        severity_text=level.severity_text,
        time_ns=timed.time_ns,
        request_id=ids.request_id,
        attributes=_nest_attributes(outer, inner, is_outer_level=level is outer),
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        # What a runtime's logger writes is the user's, so it is no report of the runtime.
        is_uncaught_exception=inner.is_uncaught_exception and not outer.has_runtime_format,
        request_id_key=ids.request_id_key,
        has_runtime_format=ids.has_runtime_format,
        own_time=timed.own_time,
    )


def _nest_attributes(outer: ParsedLine, inner: ParsedLine, *, is_outer_level: bool) -> dict[str, Any]:
    """Return the attributes of both lines, and the values of each that the other one's replace."""
    inside, outside = inner.attributes, outer.attributes
    if outer.time_ns and inner.time_ns != outer.time_ns and inner.own_time:
        inside = attribute_names.add(inside, *inner.own_time)
    if outer.request_id and inner.request_id_key and inner.request_id not in ("", outer.request_id):
        inside = attribute_names.add(inside, inner.request_id_key, inner.request_id)
    if not is_outer_level and outer.severity_text not in ("", inner.severity_text):
        outside = attribute_names.override(outside, {_OUTER_LEVEL: outer.severity_text})
    return attribute_names.override(outside, inside) if outside else inside


def reconcile_time(time_ns: int, *, event_ns: int) -> int:
    """Return when a line with its own *time_ns* was written; 0 if that is unknown or not believed.

    *event_ns* is when Lambda received it, or 0.
    """
    if time_ns == event_ns or not event_ns or not time_ns:
        return time_ns
    ago_ns = event_ns - time_ns
    if not -_MAX_AFTER_NS <= ago_ns <= _MAX_BEFORE_NS:
        return 0
    if 0 <= ago_ns < _SECOND_NS and not time_ns % _SECOND_NS:
        # Python's runtime writes no fraction in its JSON lines, so they would precede their own span.
        return event_ns
    return time_ns


def reconcile(line: ParsedLine, event_ns: int, owner_id: str) -> tuple[int, str, dict[str, Any]]:
    """Return time, request id and attributes of *line*; Lambda's values win, the line's become attributes.

    *event_ns* is when Lambda received it, or 0; *owner_id* is the request id of its invocation, or empty.
    """
    request_id, attributes = line.request_id, line.attributes
    time_ns = reconcile_time(line.time_ns, event_ns=event_ns) if line.time_ns else 0
    if not time_ns:
        time_ns = event_ns
        if line.time_ns and line.own_time:
            attributes = attribute_names.add(attributes, *line.own_time)
    if request_id != owner_id:
        if request_id and (owner_id or not line.has_likely_request_id):
            if line.request_id_key:
                attributes = attribute_names.add(attributes, line.request_id_key, request_id)
            request_id = ""
        request_id = owner_id or request_id
    return time_ns, request_id, attributes
