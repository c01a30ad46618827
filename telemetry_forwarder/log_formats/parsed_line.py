"""What one log line says, whoever wrote it: the answer of `formats`. And how much of it is believed. Pure."""

import re
from typing import Any, Final

from telemetry_forwarder.core.frozen import comparable

REQUEST_ID = "faas.invocation_id"

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_SECOND_NS = 1_000_000_000
# A line is written at most one invocation's life before Lambda hears of it; and clocks differ a little.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
_MOST_BEFORE_NS = 900 * _SECOND_NS
_MOST_AFTER_NS = 60 * _SECOND_NS


@comparable
class ParsedLine:
    """A log line, understood."""

    __slots__ = (  # noqa: RUF023  # their order is their place
        "body",
        "severity_number",
        "severity_text",
        "time_ns",
        "request_id",
        "attributes",
        "trace_id",
        "span_id",
        "is_exception",
        "request_id_key",
        "has_runtime_format",
        "own_time",
    )

    def __init__(
        self,
        body: Any,
        severity_number: int,
        severity_text: str,
        time_ns: int,
        request_id: str,
        attributes: dict[str, Any],
        trace_id: str,
        span_id: str,
        is_exception: bool,
        request_id_key: str = "",
        has_runtime_format: bool = False,
        own_time: tuple[str, Any] | None = None,
    ) -> None:
        self.body: Final = body
        """The message: any JSON value; the whole object if there is no message in it."""
        self.severity_number: Final = severity_number
        """OTLP's, 1 to 24; 0 unknown."""
        self.severity_text: Final = severity_text
        """The level as the line spells it."""
        self.time_ns: Final = time_ns
        """The line's own timestamp; 0 if it has none that makes sense."""
        self.request_id: Final = request_id
        self.attributes: Final = attributes
        """JSON values; what is nested stays nested. Belongs to whoever asked."""
        self.trace_id: Final = trace_id
        self.span_id: Final = span_id
        self.is_exception: Final = is_exception
        """Whether this is how a runtime reports an exception that the handler did not catch, or its own crash."""
        self.request_id_key: Final = request_id_key
        """Where the request id goes that is none of Lambda's; empty where the body says it anyway."""
        self.has_runtime_format: Final = has_runtime_format
        """Whether the request id stands where a runtime writes it."""
        self.own_time: Final = own_time
        """The timestamp as it was, and its key, for when it is not believed; None where the body says it anyway."""

    def replaced(self, **changes: Any) -> "ParsedLine":
        """The same, but for *changes*."""
        return ParsedLine(**{name: getattr(self, name) for name in self.__slots__} | changes)

    @property
    def exception_type(self) -> str:
        """Of the exception that the line tells of; empty if it tells of none."""
        return str(self.attributes.get("exception.type") or "")

    @property
    def has_likely_request_id(self) -> bool:
        """Whether the request id is Lambda's by its look, though nobody may know it."""
        return self.has_runtime_format and UUID.fullmatch(self.request_id) is not None


def believed_moment(time_ns: int, event_ns: int) -> int:
    """When a line was written that says *time_ns* of itself; 0 where it is not believed, or says nothing.

    *event_ns* is when Lambda heard of it, or 0.
    """
    if time_ns == event_ns or not event_ns or not time_ns:
        return time_ns
    ago_ns = event_ns - time_ns
    if not -_MOST_AFTER_NS <= ago_ns <= _MOST_BEFORE_NS:
        return 0
    if 0 <= ago_ns < _SECOND_NS and not time_ns % _SECOND_NS:
        # Python's runtime writes no fraction in its JSON lines: literally, they would lie before their span.
        return event_ns
    return time_ns


def believed(line: ParsedLine, *, event_ns: int, owner_id: str) -> tuple[int, str, dict[str, Any]]:
    """Time, request id and attributes of *line*, as Lambda's word makes them: nothing is lost of its own.

    *event_ns* is when Lambda heard of it, or 0; *owner_id* the request id of its invocation, or empty.
    """
    request_id, attributes = line.request_id, line.attributes
    time_ns = believed_moment(line.time_ns, event_ns)
    if not time_ns:
        time_ns = event_ns
        if line.time_ns and line.own_time:
            attributes = {**attributes, line.own_time[0]: line.own_time[1]}
    if request_id != owner_id:
        if request_id and (owner_id or not line.has_likely_request_id):
            if line.request_id_key:
                attributes = {**attributes, line.request_id_key: request_id}
            request_id = ""
        request_id = owner_id or request_id
    if request_id and attributes and REQUEST_ID in attributes:
        attributes = {
            f"lambda.line.{key}" if key == REQUEST_ID else key: attributes[key] for key in attributes
        }
    return time_ns, request_id, attributes
