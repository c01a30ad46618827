import pytest

from telemetry_forwarder.telemetry.records import Event, LogLine, Start
from tests.support.posts import MOMENT_NS, OBSERVED_NS


@pytest.mark.parametrize(("time_ns", "moment_ns"), [(MOMENT_NS, MOMENT_NS), (0, OBSERVED_NS)])
def test_an_event_without_a_time_happened_when_it_was_observed(time_ns: int, moment_ns: int) -> None:
    event = Event("platform.any", time_ns=time_ns, observed_ns=OBSERVED_NS, fields=None)

    assert event.moment_ns == moment_ns


def test_records_are_compared_by_content() -> None:
    line = LogLine("function", record="a", time_ns=1, observed_ns=2)

    assert line == LogLine("function", record="a", time_ns=1, observed_ns=2, extra=None)
    assert line != LogLine("extension", record="a", time_ns=1, observed_ns=2)


def test_a_field_that_lambda_did_not_send_has_a_neutral_value() -> None:
    event = Start("platform.start", time_ns=1, observed_ns=2, fields={})

    assert (event.request_id, event.tracing.trace_id, event.tracing.is_sampled) == ("", "", None)
