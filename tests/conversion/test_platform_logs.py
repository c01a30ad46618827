import pytest

from telemetry_forwarder.conversion.log_lines import LOGS_DISABLED
from telemetry_forwarder.conversion.platform_logs import IN_SPANS_AND_METRICS, NOT_SELECTED, filter_reason
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import Event


def platform_event(type_: str, **fields: str) -> Event:
    return read_event(type_, fields, time_ns=1, observed_ns=1)


REPORT = platform_event("platform.report", requestId="id")
FAULT = platform_event("platform.fault")


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({}, [IN_SPANS_AND_METRICS, "", "", ""]),
        ({"SIGNALS": "logs,spans"}, ["", "", "", ""]),
        ({"SIGNALS": "spans,metrics"}, [LOGS_DISABLED] * 4),
        ({"PLATFORM_LOGS": "all"}, ["", "", "", ""]),
        ({"PLATFORM_LOGS": "none"}, [NOT_SELECTED] * 4),
        ({"PLATFORM_LOGS": "report"}, ["", "", "", NOT_SELECTED]),
    ],
)
def test_event_is_a_log_record_unless_there_is_a_reason_to_filter_it(
    settings: dict[str, str], reasons: list[str]
) -> None:
    read = Settings({PREFIX + name: value for name, value in settings.items()})
    not_an_object = read_event("platform.report", "text", time_ns=1, observed_ns=1)
    events = ((REPORT, True), (REPORT, False), (not_an_object, True), (FAULT, False))

    assert [filter_reason(each, read, is_shown=is_shown) for each, is_shown in events] == reasons
