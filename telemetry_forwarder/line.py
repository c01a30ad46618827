"""What one log line says, whoever wrote it: the answer of `formats`."""

from typing import Any, NamedTuple


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
