import pytest

from telemetry_forwarder.conversion.platform_logs import is_log_record
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import Event


def platform_event(type_: str, **fields: str) -> Event:
    return read_event(type_, fields, time_ns=1, observed_ns=1)


REPORT = platform_event("platform.report", requestId="id")
FAULT = platform_event("platform.fault")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [False, True, True]),
        ({"SIGNALS": "logs,spans"}, [True, True, True]),
        ({"SIGNALS": "spans,metrics"}, [False, False, False]),
        ({"PLATFORM_LOGS": "all"}, [True, True, True]),
        ({"PLATFORM_LOGS": "none"}, [False, False, False]),
        ({"PLATFORM_LOGS": "report"}, [True, True, False]),
    ],
)
def test_event_is_a_log_record_unless_spans_and_metrics_contain_all_of_it(
    settings: dict[str, str], wanted: list[bool]
) -> None:
    read = Settings({PREFIX + name: value for name, value in settings.items()})
    events = (REPORT, platform_event("platform.report"), FAULT)

    assert [is_log_record(each, read) for each in events] == wanted
