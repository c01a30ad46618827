"""The result of an invocation once it has ended."""

from typing import Any
from unittest.mock import ANY

import pytest

from telemetry_forwarder.invocations.completed import OUT_OF_MEMORY, CompletedInvocation
from telemetry_forwarder.invocations.invocation import Invocation, PresumedEnd, complete, select_report_spans
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import Event, PhaseSpan, Report, RuntimeDone, Start, Tracing
from telemetry_forwarder.telemetry.trace_context import parse_tracing
from tests.support.completed import invocation as ended
from tests.support.posts import OBSERVED_NS
from tests.support.stories import HEADER, SPAN_ID, TRACE_ID, UPSTREAM, at, done, report, span, start

OWN_TRACE, OWN_SPAN = "a" * 32, "b" * 16


def invocation(*events: Event, **known: Any) -> Invocation:
    one = Invocation("a", trace_id=OWN_TRACE, span_id=OWN_SPAN, tracing=Tracing(), start_ns=at(0))
    for event in events:
        match event:
            case Start():
                one.observe_start(event)
            case RuntimeDone():
                one.done = event
            case Report():
                one.report = event
    for name, value in known.items():
        setattr(one, name, value)
    return one


def result(**differences: Any) -> CompletedInvocation:
    known = {"trace_id": OWN_TRACE, "span_id": OWN_SPAN, "tracing": Tracing(), "arn": "", "tenant_id": ""}
    return ended(**{**known, "end_ns": at(210), "duration_s": 0.2095, "events": ANY, **differences})


STARTED = Start(
    "platform.start",
    time_ns=at(1),
    observed_ns=OBSERVED_NS,
    fields={},
    tracing=parse_tracing(HEADER, own_span_id=SPAN_ID),
)
DONE = done("a", 210, duration_ms=209.5)
REPORT = report("a", 260, duration_ms=258.12)


def test_runtime_done_takes_precedence_over_the_report() -> None:
    one = invocation(start("a", 1, functionArn="arn:f", tenantId="t"), DONE, REPORT, is_cold=True)

    assert complete(one) == result(start_ns=at(1), arn="arn:f", tenant_id="t", is_cold=True)
    assert [event.type for event in complete(one).events] == [
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]


def test_the_report_supplies_what_runtime_done_lacks() -> None:
    assert complete(invocation(REPORT)) == result(end_ns=at(260), duration_s=0.25812, produced_bytes=None)
    assert complete(invocation(done("a", 210, status=""), report("a", 260, status="timeout", duration_ms=5))) == result(
        status="timeout", error_type="timeout", duration_s=0.005, produced_bytes=None
    )


def test_spans_of_both_events_are_joined_without_duplicates() -> None:
    latency, overhead = span("responseLatency", 0, 200), span("extensionOverhead", 210, 48.4)
    one = invocation(done("a", 210, spans=[latency]), report("a", 260, spans=[latency, overhead]))

    assert complete(one).spans == (
        PhaseSpan("responseLatency", at(0), 0.2),
        PhaseSpan("extensionOverhead", at(210), 0.0484),
    )
    assert select_report_spans(one) == (PhaseSpan("extensionOverhead", at(210), 0.0484),)
    assert select_report_spans(invocation(DONE)) == ()


def test_without_an_end_event_the_last_line_is_the_end() -> None:
    nothing = {"status": "", "duration_s": None, "produced_bytes": None}

    assert complete(invocation(last_line_ns=at(7))) == result(end_ns=at(7), **nothing)
    assert complete(invocation()) == result(end_ns=at(0), **nothing)


def test_an_end_without_a_time_is_when_it_was_observed() -> None:
    assert complete(invocation(done("a", None, duration_ms=209.5))) == result(end_ns=OBSERVED_NS)


def test_an_end_is_never_before_the_start() -> None:
    assert complete(invocation(done("a", -5, duration_ms=209.5))) == result(end_ns=at(0))


@pytest.mark.parametrize(("status", "error_type"), [("timeout", "timeout"), ("error", "failure")])
def test_a_shutdown_implies_an_end_that_was_not_reported(status: str, error_type: str) -> None:
    presumed = PresumedEnd(at(3_000), status, error_type)

    assert complete(invocation(presumed_end=presumed)) == result(
        end_ns=at(3_000), status=status, error_type=error_type, duration_s=None, produced_bytes=None
    )
    assert complete(invocation(DONE, presumed_end=presumed)) == result()


FULL = {"used_mb": 128}
MEMORY_SIGNS = [
    pytest.param({}, {"errorType": OUT_OF_MEMORY}, {}, id="Lambda reports it"),
    pytest.param({}, {"errorType": "Runtime.ExitError"}, FULL, id="all memory was used"),
    pytest.param({"has_run_out_of_memory": True}, {}, {}, id="a log line reports it"),
    pytest.param({"has_run_out_of_memory": True}, {"errorType": OUT_OF_MEMORY}, FULL, id="all three"),
]


@pytest.mark.parametrize("status", ["error", "failure", "unheard of"])
@pytest.mark.parametrize(("known", "of_done", "of_report"), MEMORY_SIGNS)
def test_each_sign_alone_proves_exhausted_memory(
    status: str, known: dict[str, Any], of_done: dict[str, Any], of_report: dict[str, Any]
) -> None:
    one = invocation(done("a", 210, status=status, **of_done), report("a", 260, status=status, **of_report), **known)

    assert complete(one) == result(
        status=status, error_type=OUT_OF_MEMORY, has_run_out_of_memory=True, duration_s=None, produced_bytes=None
    )


@pytest.mark.parametrize(("known", "of_done", "of_report"), MEMORY_SIGNS)
def test_a_timeout_stays_one_despite_exhausted_memory(
    known: dict[str, Any], of_done: dict[str, Any], of_report: dict[str, Any]
) -> None:
    one = invocation(done("a", 210, status="timeout", **of_done), report("a", 260, **of_report), **known)

    completed = complete(one)

    assert (completed.status, completed.has_run_out_of_memory) == ("timeout", True)
    assert completed.error_type == of_done.get("errorType", "timeout")


@pytest.mark.parametrize(
    ("events", "known", "error_type", "has_run_out_of_memory"),
    [
        ([DONE], {}, "", False),
        ([done("a", 210, status="")], {}, "", False),
        ([DONE, report("a", 260, **FULL)], {}, "", False),
        ([DONE], {"has_run_out_of_memory": True}, "", False),
        ([DONE], {"exception_type": "ValueError"}, "ValueError", False),
        ([DONE], {"exception_type": "MemoryError", "has_run_out_of_memory": True}, "MemoryError", True),
        ([done("a", 5, status="error", errorType="Runtime.ExitError")], {}, "Runtime.ExitError", False),
        ([done("a", 5, status="error"), report("a", 6, errorType="Late")], {}, "Late", False),
        ([done("a", 5, status="error")], {"exception_type": "KeyError"}, "KeyError", False),
        (
            [done("a", 5, status="error", errorType="Runtime.Unknown")],
            {"exception_type": "KeyError"},
            "KeyError",
            False,
        ),
        ([done("a", 5, status="error", errorType="Runtime.Unknown")], {}, "Runtime.Unknown", False),
        ([done("a", 5, status="failure")], {}, "failure", False),
        ([done("a", 5, status="timeout", errorType="Sandbox.Timedout")], {}, "Sandbox.Timedout", False),
        ([read_event("platform.report", {"status": "error"}, time_ns=at(5), observed_ns=0)], {}, "error", False),
    ],
)
def test_error_type_of_an_invocation(
    events: list[Event], known: dict[str, Any], error_type: str, has_run_out_of_memory: bool
) -> None:
    completed = complete(invocation(*events, **known))

    assert (completed.error_type, completed.has_run_out_of_memory) == (error_type, has_run_out_of_memory)


@pytest.mark.parametrize(
    ("events", "is_settled"),
    [
        ([], False),
        ([start("a", 0)], False),
        ([DONE], True),
        ([done("a", 5, status="error")], False),
        ([done("a", 5, status="error"), REPORT], True),
        ([report("a", 5, status="timeout")], True),
    ],
)
def test_a_failure_is_settled_by_its_report(events: list[Event], is_settled: bool) -> None:
    assert invocation(*events).is_settled is is_settled


def test_ids_are_certain_after_platform_start() -> None:
    one = Invocation("a", trace_id=TRACE_ID, span_id=OWN_SPAN, tracing=parse_tracing(HEADER), start_ns=at(0))
    before = one.context

    one.observe_start(STARTED)

    assert (before, one.context) == ((TRACE_ID, ""), (TRACE_ID, SPAN_ID))
    assert one.tracing == Tracing(TRACE_ID, UPSTREAM, SPAN_ID, True)


def test_random_ids_are_used_only_once_they_are_certain() -> None:
    assert invocation().context == ("", "")
    assert invocation(start("a", 0)).context == (OWN_TRACE, OWN_SPAN)
    assert invocation(DONE).context == (OWN_TRACE, OWN_SPAN)


def test_a_late_start_does_not_change_a_taken_invocation() -> None:
    one = invocation(DONE, is_taken=True)

    one.observe_start(STARTED)

    assert (one.has_start, one.start_ns, one.context) == (True, at(0), (OWN_TRACE, OWN_SPAN))
