from typing import Any
from unittest.mock import ANY

import pytest

from telemetry_forwarder.invocations.completed import CompletedPhase
from telemetry_forwarder.invocations.invocation import Invocation, PresumedEnd
from telemetry_forwarder.invocations.phases import Phase, Phases
from telemetry_forwarder.telemetry.records import Event, PhaseSpan, Tracing
from tests.support.completed import phase
from tests.support.posts import OBSERVED_NS
from tests.support.stories import (
    SPAN_ID,
    TRACE_ID,
    at,
    counted_ids,
    init_done,
    init_report,
    init_start,
    platform_event,
    span,
    start,
)

SPINDOWN = PresumedEnd(at_ns=at(900), status="", error_type="spindown")
PHASE_SPAN = PhaseSpan("someTimeSpan", at(3), 0.0705)


def no_invocation(phase: Phase) -> None:
    """No invocation is known."""


def an_invocation() -> Invocation:
    return Invocation(
        "a", trace_id=TRACE_ID, span_id=SPAN_ID, tracing=Tracing(TRACE_ID, is_sampled=False), start_ns=at(100)
    )


def observed(*events: Event) -> Phases:
    phases = Phases(counted_ids())
    for event in events:
        phases.observe(event)
    return phases


def completed(**differences: Any) -> CompletedPhase:
    times = {"start_ns": at(0), "end_ns": at(60), "runtime_done_ns": at(50), "duration_s": 0.0595}
    return phase(**{"span_id": f"{1:016x}", "is_sampled": False, "events": ANY, **times, **differences})


def alone(**differences: Any) -> CompletedPhase:
    """Return a phase without an invocation, so in its own trace."""
    return completed(
        **{"trace_id": f"{1:032x}", "span_id": f"{2:016x}", "parent_span_id": "", "is_sampled": None, **differences}
    )


INIT = (init_start(0), init_done(50), init_report(60, duration_ms=59.5))
RESTORE = (
    platform_event("restoreStart", 0),
    platform_event("restoreRuntimeDone", 50, status="success"),
    platform_event("restoreReport", 60, status="success", metrics={"durationMs": 59.5}),
)


def test_an_init_is_taken_once_under_its_invocation() -> None:
    phases = observed(*INIT)

    assert phases.take_completed(lambda phase: an_invocation()) == [completed(events=INIT)]
    assert phases.take_completed(lambda phase: an_invocation(), shutdown=SPINDOWN) == []


def test_an_init_waits_for_its_report_and_for_its_invocation() -> None:
    phases = observed(*INIT[:2])
    assert phases.take_completed(lambda phase: an_invocation()) == []

    phases.observe(INIT[2])

    # It belongs to the first invocation that was found, whatever is found later.
    assert phases.take_completed(no_invocation) == [completed()]


def test_an_init_without_an_invocation_waits_for_one() -> None:
    phases = observed(*INIT)

    assert phases.take_completed(no_invocation) == []
    assert phases.take_completed(lambda phase: an_invocation()) == [completed()]


def test_at_shutdown_incomplete_phases_are_taken() -> None:
    assert observed(*INIT).take_completed(no_invocation, shutdown=SPINDOWN) == [alone()]
    assert observed(*INIT[:2]).take_completed(no_invocation, shutdown=SPINDOWN) == [
        alone(end_ns=at(50), duration_s=None)
    ]
    assert observed(INIT[0]).take_completed(no_invocation, shutdown=SPINDOWN) == [
        alone(end_ns=at(0), runtime_done_ns=0, duration_s=None, status="")
    ]


@pytest.mark.parametrize(
    ("events", "kind", "is_cold"),
    [
        (INIT, "init", True),
        ((platform_event("initStart", 0), platform_event("initReport", 60)), "init", True),
        ((init_start(0, kind="provisioned-concurrency"), init_report(60)), "init", False),
        ((init_start(0, kind="lambda-managed-instances"), init_report(60)), "init", False),
        ((init_start(0, kind="provisioned-concurrency", phase="invoke"), init_report(60)), "init", False),
        ((init_start(0, phase="invoke"), init_report(60, phase="invoke")), "init", True),
        (RESTORE, "restore", True),
    ],
)  # fmt: skip
def test_the_invocation_that_waited_is_a_cold_start(events: tuple[Event, ...], kind: str, is_cold: bool) -> None:
    invocation = an_invocation()

    (phase,) = observed(*events).take_completed(lambda phase: invocation)

    assert (phase.kind, phase.parent_span_id, invocation.is_cold) == (kind, SPAN_ID, is_cold)


def test_an_invocation_is_cold_before_the_init_is_reported() -> None:
    invocation = an_invocation()

    assert observed(INIT[0]).take_completed(lambda phase: invocation) == []
    assert invocation.is_cold


def test_the_init_of_a_snapshot_belongs_to_no_invocation() -> None:
    invocation = an_invocation()
    snapshot: dict[str, Any] = {"kind": "snap-start"}
    phases = observed(init_start(0, **snapshot), init_done(50, **snapshot), init_report(60, **snapshot))

    taken = phases.take_completed(lambda phase: invocation)

    assert taken == [alone(initialization_type="snap-start", duration_s=None)]
    assert not invocation.is_cold


def test_a_restore_is_a_phase_of_its_own() -> None:
    expected = completed(kind="restore", phase="", initialization_type="snap-start")

    assert observed(*RESTORE).take_completed(lambda phase: an_invocation()) == [expected]


def test_an_init_repeated_inside_an_invocation_is_a_phase_of_its_own() -> None:
    again = init_start(10_000, phase="invoke"), init_report(10_100, phase="invoke")
    phases = observed(init_start(0), init_report(9_000, status="timeout"), *again)

    assert [(phase.phase, phase.status) for phase in phases.take_completed(lambda phase: an_invocation())] == [
        ("init", "timeout"),
        ("invoke", "success"),
    ]


@pytest.mark.parametrize(("time_ms", "message"), [(0, "no module"), (60, "no module"), (-1, ""), (61, ""), (None, "")])
def test_a_phase_has_the_exception_that_was_logged_during_it(time_ms: int | None, message: str) -> None:
    phases = Phases(counted_ids())
    phases.note_exception("no module", at(time_ms) if time_ms is not None else 0)
    for event in INIT:
        phases.observe(event)

    assert [phase.error_message for phase in phases.take_completed(lambda phase: an_invocation())] == [message]


def test_the_last_of_the_logged_exceptions_counts() -> None:
    phases = observed(*INIT)
    for number in range(99):
        phases.note_exception(f"no module {number}", at(number / 2))
    phases.note_exception("later", at(900))

    assert [phase.error_message for phase in phases.take_completed(lambda phase: an_invocation())] == ["no module 98"]


def test_an_init_repeated_inside_an_invocation_has_the_exception_of_that_invocation() -> None:
    invocation = an_invocation()
    invocation.exception_message = "no module"
    phases = observed(*INIT, init_start(200, phase="invoke"), init_report(300, phase="invoke"))

    assert [phase.error_message for phase in phases.take_completed(lambda phase: invocation)] == ["", "no module"]


def test_a_report_finds_its_phase_by_name() -> None:
    phases = observed(init_start(0), init_start(10, phase="invoke"), init_report(20), init_report(30, phase="invoke"))

    assert [
        (phase.phase, phase.start_ns, phase.end_ns) for phase in phases.take_completed(lambda phase: an_invocation())
    ] == [("init", at(0), at(20)), ("invoke", at(10), at(30))]


def test_failure_and_spans_of_both_events_are_joined() -> None:
    spans = [span("someTimeSpan", 3, 70.5)]
    longer = [*spans, span("someTimeSpan", 3, 90.1)]
    phases = observed(
        init_start(0),
        init_done(50, status="error", errorType="Runtime.ExitError", spans=spans),
        platform_event("initReport", 60, spans=longer),
    )

    assert phases.take_completed(lambda phase: an_invocation()) == [
        completed(
            status="error",
            error_type="Runtime.ExitError",
            duration_s=None,
            spans=(PHASE_SPAN, PhaseSpan("someTimeSpan", at(3), 0.0901)),
        )
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # The start is derived from the report.
        (INIT[2:], completed(start_ns=at(0.5), runtime_done_ns=0)),
        (INIT[1:], completed(start_ns=at(0.5))),
        ((init_done(50), platform_event("initReport", 60)), completed(start_ns=at(50), duration_s=None)),
        (
            (platform_event("initReport", None, metrics={"durationMs": 1e12}),),
            completed(
                phase="", initialization_type="", start_ns=OBSERVED_NS - 10**18, end_ns=OBSERVED_NS,
                runtime_done_ns=0, duration_s=1e9, status="",
            ),
        ),
    ],
)  # fmt: skip
def test_a_phase_whose_beginning_was_lost_is_completed(events: tuple[Event, ...], expected: CompletedPhase) -> None:
    assert observed(*events).take_completed(lambda phase: an_invocation()) == [expected]


def test_a_phase_runs_until_its_runtime_is_ready() -> None:
    phases = observed()
    states = []
    for event in (*INIT, start("a", 70)):
        phases.observe(event)
        states.append((phases.is_running, phases.runtime_done_ns))

    assert states == [(True, 0), (False, at(50)), (False, at(50)), (False, at(50))]


def test_a_reported_phase_is_not_running() -> None:
    assert not observed(INIT[0], INIT[2]).is_running


def test_the_oldest_of_too_many_phases_is_dropped() -> None:
    phases = observed(*[init_start(number) for number in range(20)])

    taken = phases.take_completed(no_invocation, shutdown=SPINDOWN)

    assert [phase.start_ns for phase in taken] == [at(number) for number in range(4, 20)]


FAILED_INIT = (init_start(-10_000), init_report(-50, status="timeout"))


@pytest.mark.parametrize(
    ("events", "since_ns"),
    [
        ((init_start(-400), init_done(-60), init_report(-50)), at(-400)),
        ((init_start(-400), init_done(-60)), at(-400)),
        # In advance: nobody has waited for it.
        ((init_start(-400), init_done(-60), init_report(-50), start("a", 60_000)), 0),
        ((init_start(-400, kind="provisioned-concurrency"), init_report(-50, kind="provisioned-concurrency")), 0),
        ((platform_event("restoreStart", -90), platform_event("restoreReport", -5)), at(-90)),
        # An init is repeated after a failed one, before or inside the invocation.
        ((*FAILED_INIT, init_start(-40), init_report(-5)), at(-10_000)),
        ((*FAILED_INIT, init_start(101, phase="invoke"), init_report(105, phase="invoke")), at(-10_000)),
        ((init_start(101, phase="invoke"), init_report(105, phase="invoke")), 0),
    ],
)
def test_an_invocation_waits_since_the_beginning_of_what_it_waited_for(
    events: tuple[Event, ...], since_ns: int
) -> None:
    parent = an_invocation()
    for event in events:
        parent.start_ns = event.time_ns if event.type == "platform.start" else parent.start_ns

    observed(*events).take_completed(lambda phase: parent)

    assert parent.waits_since_ns == since_ns
