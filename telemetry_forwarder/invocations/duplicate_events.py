"""Recognises platform events that were told before: Lambda delivers at least once. Pure; bounded."""

from typing import Any

from telemetry_forwarder.telemetry.json_values import json_text
from telemetry_forwarder.telemetry.records import Event

# Lambda posts again what it has just posted, at most 10,000 events of which few are the platform's.
_MAX_REMEMBERED = 2_048


class DuplicateEvents:
    """Remembers the latest events by what they say, all but when it reached us."""

    def __init__(self) -> None:
        self._told: dict[int, None] = {}

    def is_news(self, event: Event) -> bool:
        """Whether *event* is told for the first time. Two events that differ in anything are both news."""
        key = hash((event.type, event.time_ns, _said(event.fields)))
        if key in self._told:
            return False
        if len(self._told) == _MAX_REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[key] = None
        return True


def _said(fields: Any) -> str:
    try:
        return repr(fields)
    except RecursionError:
        return json_text(fields)
