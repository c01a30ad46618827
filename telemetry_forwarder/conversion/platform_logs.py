"""Which of Lambda's own events become log records. Pure."""

from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.records import Event

# What spans and metrics say in full: as logs too it would be said three times.
TOLD_BY_SPANS_AND_METRICS = frozenset(
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
    """As `TELEMETRY_FORWARDER_PLATFORM_LOGS` says."""

    def __init__(self, settings: Settings) -> None:
        self._wanted = settings.platform_logs
        self._are_logs_wanted = "logs" in settings.signals
        self._is_told_elsewhere = {"spans", "metrics"} <= set(settings.signals)

    def are_to_have(self, event: Event) -> bool:
        """By default, what nothing else says in full."""
        if not self._are_logs_wanted:
            return False
        if self._wanted == ("default",):
            return not (self._is_told_elsewhere and _is_told_in_full(event))
        return self._wanted == ("all",) or event.type.removeprefix("platform.") in self._wanted


def _is_told_in_full(event: Event) -> bool:
    """Whether spans and metrics say all of it: not of an event that belongs to no invocation, or has no fields."""
    is_whole = isinstance(event.fields, dict) and getattr(event, "request_id", "unasked") != ""
    return is_whole and event.type in TOLD_BY_SPANS_AND_METRICS
