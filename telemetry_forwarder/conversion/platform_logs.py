"""Decides which platform events become log records. Pure."""

from telemetry_forwarder.conversion.log_lines import LOGS_DISABLED
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.records import Event

IN_SPANS_AND_METRICS = "in spans and metrics"
NOT_SELECTED = "excluded by PLATFORM_LOGS"


def filter_reason(event: Event, settings: Settings, *, is_shown: bool) -> str:
    """Return why *event* becomes no log record, by the setting `PLATFORM_LOGS`; empty if it becomes one.

    By default it does unless spans and metrics represent it: as a log record it would be exported a third time.
    *is_shown*: a span shows its fields, if it has any.
    """
    selected, signals = settings.platform_logs, settings.signals
    if "logs" not in signals:
        return LOGS_DISABLED
    if selected != ("default",):
        is_selected = selected == ("all",) or event.type.removeprefix("platform.") in selected
        return "" if is_selected else NOT_SELECTED
    is_represented = is_shown and isinstance(event.fields, dict)
    return IN_SPANS_AND_METRICS if is_represented and "spans" in signals and "metrics" in signals else ""
