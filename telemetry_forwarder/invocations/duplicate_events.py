"""Recognises platform events that Lambda has delivered before: delivery is at least once. No I/O; bounded."""

from enum import Enum
from typing import Any

from telemetry_forwarder.telemetry.json_values import write_json
from telemetry_forwarder.telemetry.records import Event

# Lambda resends what it has just sent: at most 10,000 events, few of them platform events.
_MAX_REMEMBERED = 2_048


class Arrival(Enum):
    """What becomes of an event that has arrived."""

    SHOWN = "shown"
    """A span will show its fields."""
    UNSHOWN = "unshown"
    """No span will: it belongs to none, or its span was taken before."""
    DUPLICATE = "duplicate"
    """It has arrived before."""


class DuplicateEvents:
    """Remembers the latest events by their content, ignoring when they were received."""

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}

    def is_new(self, event: Event) -> bool:
        """Return whether *event* is seen for the first time, and remember it."""
        key = hash((event.type, event.time_ns, _text(event.fields)))
        if key in self._seen:
            return False
        if len(self._seen) == _MAX_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None
        return True


def _text(fields: Any) -> str:
    try:
        return repr(fields)
    except RecursionError:
        return write_json(fields)
