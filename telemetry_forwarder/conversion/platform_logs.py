"""Decides which platform events become log records. Pure."""

from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.records import Event

# Spans and metrics contain all fields of these; as log records they would be exported a third time.
_IN_SPANS_AND_METRICS = frozenset(
    {
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
        "platform.restoreStart",
        "platform.restoreRuntimeDone",
        "platform.restoreReport",
    }
)


class PlatformLogs:
    """Implements the setting `PLATFORM_LOGS`."""

    def __init__(self, settings: Settings) -> None:
        self._selected = settings.platform_logs
        self._are_logs_enabled = "logs" in settings.signals
        self._are_spans_and_metrics_enabled = {"spans", "metrics"} <= set(settings.signals)

    def include(self, event: Event) -> bool:
        """Return whether *event* becomes a log record; by default, if spans and metrics do not contain all of it."""
        if not self._are_logs_enabled:
            return False
        if self._selected == ("default",):
            return not (self._are_spans_and_metrics_enabled and _is_in_spans_and_metrics(event))
        return self._selected == ("all",) or event.type.removeprefix("platform.") in self._selected


def _is_in_spans_and_metrics(event: Event) -> bool:
    """Return false for an event of no invocation or without fields, whatever its type."""
    has_invocation = getattr(event, "request_id", None) != ""
    return isinstance(event.fields, dict) and has_invocation and event.type in _IN_SPANS_AND_METRICS
