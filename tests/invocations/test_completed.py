import pytest

from telemetry_forwarder.invocations.completed import LateSpans
from telemetry_forwarder.telemetry.records import PhaseSpan
from tests.support.completed import phase


def late_spans(name: str) -> LateSpans:
    span = PhaseSpan(name=name, start_ns=1, duration_s=0.5)
    return LateSpans(request_id="a", trace_id="b", parent_span_id="c", is_sampled=None, spans=(span,))


def test_results_are_compared_by_content() -> None:
    assert late_spans("overhead") == late_spans("overhead")
    assert late_spans("overhead") != late_spans("latency")


@pytest.mark.parametrize(
    ("status", "error_type", "failure"),
    [
        ("success", "", ""),
        ("", "", ""),
        ("timeout", "", "timeout"),
        ("error", "Runtime.ExitError", "Runtime.ExitError"),
    ],
)
def test_a_failed_phase_has_a_reason(status: str, error_type: str, failure: str) -> None:
    assert phase(status=status, error_type=error_type).failure == failure
