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


def is_log_record(event: Event, settings: Settings) -> bool:
    """Return whether *event* becomes a log record, by the setting `PLATFORM_LOGS`.

    By default it does unless spans and metrics contain all of it. They do not if it has no invocation or no fields.
    """
    selected, signals = settings.platform_logs, settings.signals
    if "logs" not in signals:
        return False
    if selected != ("default",):
        return selected == ("all",) or event.type.removeprefix("platform.") in selected
    has_invocation = getattr(event, "request_id", None) != ""
    is_exported = event.type in _IN_SPANS_AND_METRICS and has_invocation and isinstance(event.fields, dict)
    return not (is_exported and "spans" in signals and "metrics" in signals)
