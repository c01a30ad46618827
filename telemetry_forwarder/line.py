"""What one log line says, whoever wrote it: the answer of `formats`. And how much of it is believed. Pure."""

import re
from typing import Any, NamedTuple

REQUEST_ID = "faas.invocation_id"

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_SECOND_NS = 1_000_000_000
# A line is written at most one invocation's life before Lambda hears of it; and clocks differ a little.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
_MOST_BEFORE_NS = 900 * _SECOND_NS
_MOST_AFTER_NS = 60 * _SECOND_NS


class Line(NamedTuple):
    """A log line, understood. A tuple, because it is made once per line of every log."""

    body: Any
    """The message: any JSON value; the whole object if there is no message in it."""
    severity_number: int
    """OTLP's, 1 to 24; 0 unknown."""
    severity_text: str
    """The level as the line spells it."""
    time_ns: int
    """The line's own timestamp; 0 if it has none that makes sense."""
    request_id: str
    attributes: dict[str, Any]
    """JSON values; what is nested stays nested. Belongs to whoever asked."""
    trace_id: str
    span_id: str
    is_exception: bool
    """Whether this is how a runtime reports an exception that the handler did not catch, or its own crash."""
    request_id_key: str = ""
    """Where the request id goes that is none of Lambda's; empty where the body says it anyway."""
    has_runtime_format: bool = False
    """Whether the request id stands where a runtime writes it."""
    own_time: tuple[str, Any] | None = None
    """The timestamp as it was, and its key, for when it is not believed; None where the body says it anyway."""

    @property
    def has_likely_request_id(self) -> bool:
        """Whether the request id is Lambda's by its look, though nobody may know it."""
        return self.has_runtime_format and UUID.fullmatch(self.request_id) is not None


def believed(line: Line, *, event_ns: int, owner_id: str) -> tuple[int, str, dict[str, Any]]:
    """Time, request id and attributes of *line*, as Lambda's word makes them: nothing is lost of its own.

    *event_ns* is when Lambda heard of it, or 0; *owner_id* the request id of its invocation, or empty.
    """
    time_ns, request_id, attributes = line.time_ns, line.request_id, line.attributes
    if not time_ns:
        time_ns = event_ns
    elif event_ns:
        ago_ns = event_ns - time_ns
        if not -_MOST_AFTER_NS <= ago_ns <= _MOST_BEFORE_NS:
            time_ns = event_ns
            if line.own_time:
                attributes = {**attributes, line.own_time[0]: line.own_time[1]}
        elif 0 <= ago_ns < _SECOND_NS and not time_ns % _SECOND_NS:
            # Python's runtime writes no fraction in its JSON lines: literally, they would lie before their span.
            time_ns = event_ns
    if request_id and request_id != owner_id and (owner_id or not line.has_likely_request_id):
        if line.request_id_key:
            attributes = {**attributes, line.request_id_key: request_id}
        request_id = ""
    request_id = owner_id or request_id
    if request_id and REQUEST_ID in attributes:
        attributes = {
            f"lambda.line.{key}" if key == REQUEST_ID else key: attributes[key] for key in attributes
        }
    return time_ns, request_id, attributes
