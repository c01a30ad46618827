"""Decides which platform events become log records. Pure."""

from telemetry_forwarder.conversion.log_lines import LOGS_DISABLED
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.records import Event

IN_SPANS_AND_METRICS = "in spans and metrics"
NOT_SELECTED = "excluded by PLATFORM_LOGS"
# Spans and metrics represent these events; as log records they would be exported a third time.
_REPRESENTED = frozenset({"platform.start", "platform.runtimeDone", "platform.report"}) | {
    f"platform.{phase}{step}" for phase in ("init", "restore") for step in ("Start", "RuntimeDone", "Report")
}


def filter_reason(event: Event, settings: Settings) -> str:
    """Return why *event* becomes no log record, by the setting `PLATFORM_LOGS`; empty if it becomes one.

    By default it does unless spans and metrics represent it. They do not if it has no invocation or no fields.
    """
    selected, signals = settings.platform_logs, settings.signals
    if "logs" not in signals:
        return LOGS_DISABLED
    if selected != ("default",):
        is_selected = selected == ("all",) or event.type.removeprefix("platform.") in selected
        return "" if is_selected else NOT_SELECTED
    has_invocation = getattr(event, "request_id", None) != ""
    is_represented = event.type in _REPRESENTED and has_invocation and isinstance(event.fields, dict)
    return IN_SPANS_AND_METRICS if is_represented and "spans" in signals and "metrics" in signals else ""
