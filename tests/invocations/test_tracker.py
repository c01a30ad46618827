"""Sequences of events that arrive in order, late, twice, or never."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.invocations.completed import Completed, CompletedInvocation, CompletedPhase, LateSpans
from telemetry_forwarder.invocations.duplicate_events import Arrival
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.telemetry.records import Event, PhaseSpan, Tracing
from tests.support.posts import OBSERVED_NS
from tests.support.properties import FAST
from tests.support.stories import (
    ARN,
    HEADER,
    SPAN_ID,
    TRACE_ID,
    at,
    done,
    init_done,
    init_report,
    init_start,
    platform_event,
    report,
    span,
    start,
    tracing,
    tracker,
)


def in_short(completed: list[Completed]) -> list[Any]:
    """Return when and how each invocation ended, and the parent of each phase and late span."""
    return [
        (one.request_id, one.start_ns, one.end_ns, one.status)
        if isinstance(one, CompletedInvocation)
        else (one.kind, one.phase, one.parent_span_id)
        if isinstance(one, CompletedPhase)
        else (one.request_id, one.parent_span_id, one.spans)
        for one in completed
    ]


INIT = (init_start(-100), init_done(-50), init_report(-40))


@pytest.mark.parametrize(("count", "is_open"), [(0, False), (1, True), (2, True), (3, False)])
def test_a_phase_is_open_until_its_report(count: int, is_open: bool) -> None:
    assert tracker(*INIT[:count]).has_open_phase is is_open


def test_a_cold_start_and_a_warm_one() -> None:
    invocations = tracker(*INIT, start("a", 0, tracing=tracing()), done("a", 10, duration_ms=10))
    cold = invocations.take_completed()
    for event in (report("a", 12), start("b", 20), done("b", 30)):
        invocations.observe(event)
    warm = invocations.take_completed()

    assert in_short(cold) == [("init", "init", SPAN_ID), ("a", at(0), at(10), "success")]
    assert in_short(warm) == [("b", at(20), at(30), "success")]
    assert [one.is_cold for one in (*cold, *warm) if isinstance(one, CompletedInvocation)] == [True, False]


def test_nothing_is_taken_twice() -> None:
    invocations = tracker(*INIT, start("a", 0), done("a", 10), report("a", 12))

    assert len(invocations.take_completed()) == 2
    assert invocations.take_completed() == []
    invocations.shut_down("spindown", at(99))
    assert invocations.take_completed() == []


@pytest.mark.parametrize("takes_between", [False, True])
def test_duplicate_events_change_nothing(takes_between: bool) -> None:
    story = (
        *INIT,
        start("a", 0),
        done("a", 10),
        report("a", 12, spans=[span("x", 10, 2)]),
        platform_event("logsDropped", 1),
    )
    invocations = tracker(*story)
    before = invocations.take_completed() if takes_between else []

    results = [invocations.observe(event) for event in story]

    assert results == [Arrival.DUPLICATE] * len(story)
    assert in_short(before + invocations.take_completed()) == [
        ("init", "init", f"{2:016x}"),
        ("a", at(0), at(10), "success"),
    ]


def test_an_event_that_differs_is_new_but_ends_nothing_again() -> None:
    invocations = tracker(start("a", 0), done("a", 10), report("a", 12))

    assert invocations.observe(done("a", 11, status="error")) is Arrival.UNSHOWN
    assert invocations.observe(report("a", 13, status="error")) is Arrival.UNSHOWN
    assert in_short(invocations.take_completed()) == [("a", at(0), at(10), "success")]


def test_invoke_supplies_what_platform_start_lacks() -> None:
    invocations = tracker()
    invocations.observe_invoke("a", arn=f"{ARN}:live", trace_header=HEADER, at_ns=at(1))
    for event in (start("a", 0, tracing=tracing(), functionArn=ARN, tenantId="t"), done("a", 10)):
        invocations.observe(event)

    (completed,) = invocations.take_completed()

    assert isinstance(completed, CompletedInvocation)
    assert completed == CompletedInvocation(
        request_id="a",
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        tracing=Tracing(TRACE_ID, "53995c3f42cd8ad8", SPAN_ID, True),
        arn=f"{ARN}:live",
        tenant_id="t",
        start_ns=at(0),
        end_ns=at(10),
        is_cold=False,
        status="success",
        error_type="",
        has_run_out_of_memory=False,
        duration_s=None,
        produced_bytes=None,
        spans=(),
        events=completed.events,
    )


@pytest.mark.parametrize("observed_before", [1, 2, 3])
def test_invoke_may_arrive_after_other_events(observed_before: int) -> None:
    story = (start("a", 0), done("a", 1), report("a", 2))
    invocations = tracker(*story[:observed_before])
    invocations.observe_invoke("a", arn=ARN, trace_header=HEADER, at_ns=at(3))
    for event in story[observed_before:]:
        invocations.observe(event)
    invocations.shut_down("spindown", at(99))

    (completed,) = invocations.take_completed()

    assert isinstance(completed, CompletedInvocation)
    assert (completed.arn, completed.end_ns) == (ARN, at(1))


def test_a_late_report_adds_its_spans() -> None:
    latency, overhead = span("responseLatency", 0, 9), span("extensionOverhead", 10, 2)
    invocations = tracker(start("a", 0, tracing=tracing()), done("a", 10, spans=[latency]))
    assert in_short(invocations.take_completed()) == [("a", at(0), at(10), "success")]

    late = report("a", 12, spans=[latency, overhead])

    assert [invocations.observe(event) for event in (start("b", 20), late)] == [Arrival.SHOWN] * 2
    assert invocations.take_completed() == [
        LateSpans("a", TRACE_ID, SPAN_ID, True, (PhaseSpan("extensionOverhead", at(10), 0.002),), late)
    ]


def test_a_late_report_without_new_spans_adds_nothing() -> None:
    invocations = tracker(start("a", 0), done("a", 10))
    invocations.take_completed()

    assert invocations.observe(report("a", 12)) is Arrival.UNSHOWN

    assert invocations.take_completed() == []


def test_a_late_report_of_a_failure_is_not_shown_by_its_spans_alone() -> None:
    invocations = tracker(start("a", 0), done("a", 10))
    invocations.take_completed()

    late = report("a", 12, status="timeout", spans=[span("extensionOverhead", 10, 2)])

    assert invocations.observe(late) is Arrival.UNSHOWN
    assert len(invocations.take_completed()) == 1


@pytest.mark.parametrize(
    ("events", "late"),
    [
        ((start("a", 0), report("a", 12)), done("a", 10)),
        ((done("a", 10), report("a", 12)), start("a", 0)),
        ((*INIT, start("a", 0)), init_done(-60)),
        ((init_done(-50), init_report(-40), start("a", 0)), INIT[0]),
    ],
    ids=["runtimeDone", "start", "initRuntimeDone", "initStart"],
)
def test_an_event_is_not_shown_after_its_span_was_taken(events: tuple[Event, ...], late: Event) -> None:
    invocations = tracker(*events)
    assert invocations.take_completed() != []

    assert invocations.observe(late) is (Arrival.UNSHOWN if late != init_done(-60) else Arrival.SHOWN)


def test_an_event_of_nothing_that_has_a_span_is_not_shown() -> None:
    invocations = tracker()
    events = (platform_event("logsDropped", 1), platform_event("start", 2), platform_event("report", 3, requestId=[]))

    assert {invocations.observe(event) for event in events} == {Arrival.UNSHOWN}


def test_a_failure_waits_for_its_report() -> None:
    invocations = tracker(start("a", 0), done("a", 10, status="error", errorType="Runtime.ExitError"))
    assert invocations.take_completed() == []

    invocations.observe(report("a", 12, status="error", used_mb=128))
    (completed,) = invocations.take_completed()

    assert isinstance(completed, CompletedInvocation)
    assert (completed.error_type, completed.has_run_out_of_memory) == ("Runtime.OutOfMemory", True)


def test_a_failure_stops_waiting_once_a_later_invocation_ends() -> None:
    invocations = tracker(start("a", 0), done("a", 10, status="error"), start("b", 20))
    assert invocations.take_completed() == []

    invocations.observe(done("b", 30))

    assert in_short(invocations.take_completed()) == [("a", at(0), at(10), "error"), ("b", at(20), at(30), "success")]


def test_an_invocation_whose_end_was_lost_is_completed() -> None:
    invocations = tracker(start("a", 0), start("b", 20))
    line = invocations.find("", at(7))
    assert line is not None
    line.last_line_ns = at(7)
    assert invocations.take_completed() == []

    invocations.observe(done("b", 30))

    assert in_short(invocations.take_completed()) == [("a", at(0), at(7), ""), ("b", at(20), at(30), "success")]


def test_a_report_alone_completes_an_invocation() -> None:
    """Managed instances send no runtimeDone at all."""
    invocations = tracker(start("a", 0), report("a", 12))

    assert in_short(invocations.take_completed()) == [("a", at(0), at(12), "success")]


@pytest.mark.parametrize("end", [done("a", 10, duration_ms=8), report("a", 10, duration_ms=8)])
def test_a_lost_start_is_derived_from_the_end(end: Event) -> None:
    assert in_short(tracker(end).take_completed()) == [("a", at(2), at(10), "success")]


def test_a_start_after_its_end_begins_no_new_attempt() -> None:
    invocations = tracker(done("a", 10, duration_ms=8), start("a", 1))

    assert in_short(invocations.take_completed()) == [("a", at(1), at(10), "success")]
    assert invocations.observe(start("b", 20))
    invocations.shut_down("spindown", at(99))
    assert in_short(invocations.take_completed()) == [("b", at(20), at(20), "")]


def test_a_start_after_its_end_was_taken_begins_no_new_attempt() -> None:
    invocations = tracker(done("a", 10, duration_ms=8))
    invocations.take_completed()

    invocations.observe(start("a", 1))
    invocations.shut_down("spindown", at(99))

    assert invocations.take_completed() == []


def test_events_without_a_time_happen_when_they_are_observed() -> None:
    invocations = tracker(start("a", None), done("a", None))

    assert in_short(invocations.take_completed()) == [("a", OBSERVED_NS, OBSERVED_NS, "success")]


@pytest.mark.parametrize("kind", ["start", "runtimeDone", "report"])
def test_events_without_a_request_id_belong_to_no_invocation(kind: str) -> None:
    invocations = tracker(platform_event(kind, 0, status="success"))
    invocations.shut_down("spindown", at(99))

    assert invocations.take_completed() == []


class TestRetries:
    """An asynchronous invocation that is retried has the request id of its first attempt."""

    def test_each_attempt_is_an_invocation(self) -> None:
        invocations = tracker()
        for ms in (0, 100):
            invocations.observe_invoke("a", arn=ARN, trace_header="", at_ns=at(ms))
            for event in (start("a", ms), done("a", ms + 10, status="error"), report("a", ms + 12, status="error")):
                invocations.observe(event)

        assert in_short(invocations.take_completed()) == [
            ("a", at(0), at(10), "error"),
            ("a", at(100), at(110), "error"),
        ]

    def test_invoke_of_the_second_may_arrive_before_the_report_of_the_first(self) -> None:
        invocations = tracker()
        invocations.observe_invoke("a", arn=ARN, trace_header="", at_ns=at(0))
        for event in (start("a", 0), done("a", 10, status="error")):
            invocations.observe(event)
        invocations.observe_invoke("a", arn=ARN, trace_header="", at_ns=at(100))
        assert not invocations.has_ended("a")

        story = (report("a", 12, status="error", used_mb=128), start("a", 99), done("a", 110), report("a", 112))
        for event in story:
            invocations.observe(event)

        completed = invocations.take_completed()
        assert in_short(completed) == [("a", at(0), at(10), "error"), ("a", at(99), at(110), "success")]
        assert [one.has_run_out_of_memory for one in completed if isinstance(one, CompletedInvocation)] == [True, False]

    def test_a_lost_end_of_the_first_does_not_hide_the_second(self) -> None:
        invocations = tracker(start("a", 0), start("a", 100), done("a", 110))

        assert in_short(invocations.take_completed()) == [("a", at(0), at(0), ""), ("a", at(100), at(110), "success")]

    def test_lines_belong_to_the_attempt_of_their_time(self) -> None:
        invocations = tracker(start("a", 0), done("a", 10), start("a", 100))

        starts = [line.start_ns for ms in (5, 50, 105) if (line := invocations.find("a", at(ms)))]

        assert starts == [at(0), at(0), at(100)]

    def test_the_only_attempt_of_a_request_is_recognised(self) -> None:
        invocations = tracker(start("a", 0))
        first = invocations.find("a", 0)
        assert first is not None
        assert invocations.is_only_attempt(first)

        invocations.observe(start("a", 100))
        second = invocations.find("a", at(200))

        assert second is not None
        assert not invocations.is_only_attempt(first)
        assert not invocations.is_only_attempt(second)

    def test_only_the_last_two_attempts_are_distinguished(self) -> None:
        invocations = tracker(start("a", 0), start("a", 100), start("a", 200))

        starts = [line.start_ns for ms in (5, 105, 205) if (line := invocations.find("a", at(ms)))]

        assert starts == [at(100), at(100), at(200)]


class TestShutdown:
    @pytest.mark.parametrize(
        ("reason", "status", "error_type"),
        [
            ("timeout", "timeout", "timeout"),
            ("TIMEOUT", "timeout", "timeout"),
            ("failure", "error", "failure"),
            ("spindown", "", ""),
            ("unheard of", "", ""),
        ],
    )
    def test_it_determines_how_the_running_invocation_ended(self, reason: str, status: str, error_type: str) -> None:
        invocations = tracker(start("a", 0))

        invocations.shut_down(reason, at(3_000))
        (completed,) = invocations.take_completed()

        assert isinstance(completed, CompletedInvocation)
        assert (completed.status, completed.error_type) == (status, error_type)
        assert completed.end_ns == (at(3_000) if status else at(0))

    def test_it_concerns_only_the_last_invocation(self) -> None:
        invocations = tracker(start("a", 0), start("b", 20))

        invocations.shut_down("timeout", at(3_000))

        assert in_short(invocations.take_completed()) == [("a", at(0), at(0), ""), ("b", at(20), at(3_000), "timeout")]

    def test_on_managed_instances_it_concerns_all_invocations(self) -> None:
        invocations = tracker(start("a", 0), start("b", 20), is_managed=True)

        invocations.shut_down("failure", at(3_000))

        assert in_short(invocations.take_completed()) == [
            ("a", at(0), at(3_000), "error"),
            ("b", at(20), at(3_000), "error"),
        ]

    def test_a_reported_end_takes_precedence(self) -> None:
        invocations = tracker(start("a", 0), done("a", 10, status="error", errorType="Runtime.ExitError"))

        invocations.shut_down("failure", at(3_000))
        (completed,) = invocations.take_completed()

        assert isinstance(completed, CompletedInvocation)
        assert (completed.end_ns, completed.error_type) == (at(10), "Runtime.ExitError")

    def test_events_after_it_still_count(self) -> None:
        invocations = tracker(start("a", 0))
        invocations.shut_down("timeout", at(3_000))

        invocations.observe(report("a", 2_999, status="timeout"))

        assert in_short(invocations.take_completed()) == [("a", at(0), at(2_999), "timeout")]

    def test_it_may_be_called_twice(self) -> None:
        invocations = tracker(start("a", 0))

        invocations.shut_down("timeout", at(3_000))
        invocations.shut_down("timeout", at(4_000))

        assert in_short(invocations.take_completed()) == [("a", at(0), at(3_000), "timeout")]

    def test_phases_without_an_invocation_are_taken(self) -> None:
        invocations = tracker(*INIT)
        assert invocations.take_completed() == []

        invocations.shut_down("spindown", at(99))

        assert in_short(invocations.take_completed()) == [("init", "init", "")]


class TestPhases:
    def test_a_suppressed_init_belongs_to_the_invocation_around_it(self) -> None:
        invocations = tracker(
            init_start(-10_000),
            init_report(-100, status="timeout"),
            start("a", 0, tracing=tracing()),
            init_start(1, phase="invoke"),
            init_done(90, phase="invoke"),
            init_report(95, phase="invoke"),
            done("a", 200),
        )

        completed = invocations.take_completed()

        assert in_short(completed) == [
            ("init", "init", SPAN_ID),
            ("init", "invoke", SPAN_ID),
            ("a", at(0), at(200), "success"),
        ]
        assert isinstance(completed[-1], CompletedInvocation)
        assert completed[-1].is_cold

    def test_a_suppressed_init_may_be_reported_before_its_invocation(self) -> None:
        invocations = tracker(
            init_start(-5, phase="invoke"), init_report(-1, phase="invoke"), start("a", 0, tracing=tracing())
        )

        assert in_short(invocations.take_completed()) == [("init", "invoke", SPAN_ID)]

    def test_a_suppressed_init_does_not_belong_to_a_completed_invocation(self) -> None:
        invocations = tracker(
            start("a", 0),
            done("a", 10),
            init_start(20, phase="invoke"),
            init_report(30, phase="invoke"),
            start("b", 40, tracing=tracing()),
        )

        assert in_short(invocations.take_completed()) == [("init", "invoke", SPAN_ID), ("a", at(0), at(10), "success")]

    def test_an_init_waits_until_the_ids_of_its_invocation_are_certain(self) -> None:
        invocations = tracker(*INIT)
        invocations.observe_invoke("a", arn=ARN, trace_header=HEADER, at_ns=at(1))
        assert invocations.take_completed() == []

        invocations.observe(start("a", 0, tracing=tracing()))

        assert in_short(invocations.take_completed()) == [("init", "init", SPAN_ID)]

    def test_a_late_report_from_before_a_reset_does_not_take_the_init(self) -> None:
        """After a reset the process is new, and may receive the end of the previous invocation."""
        invocations = tracker(*INIT, report("old", -200, duration_ms=5), start("a", 0, tracing=tracing()))

        completed = invocations.take_completed()

        assert in_short(completed) == [("init", "init", SPAN_ID), ("old", at(-205), at(-200), "success")]
        assert isinstance(completed[1], CompletedInvocation)
        assert not completed[1].is_cold

    def test_a_restore_makes_the_next_invocation_cold(self) -> None:
        invocations = tracker(
            init_start(-90_000, kind="snap-start"),
            init_done(-89_000, kind="snap-start"),
            platform_event("restoreStart", -50),
            platform_event("restoreRuntimeDone", -10, status="success"),
            platform_event("restoreReport", -5, status="success", metrics={"durationMs": 45}),
            init_report(-4, kind="snap-start", phase="snap-start"),
            start("a", 0, tracing=tracing()),
            done("a", 10),
        )

        completed = invocations.take_completed()

        assert in_short(completed) == [
            ("init", "snap-start", ""),
            ("restore", "", SPAN_ID),
            ("a", at(0), at(10), "success"),
        ]
        assert isinstance(completed[-1], CompletedInvocation)
        assert completed[-1].is_cold


class TestLines:
    def test_a_line_belongs_to_the_invocation_that_ran_at_its_time(self) -> None:
        invocations = tracker(*INIT, start("a", 0), done("a", 10), start("b", 20))

        owners = [owner(invocations.find("", at(ms))) for ms in (-60, -1, 0, 9, 11, 20, 25)]

        assert owners == ["", "", "a", "a", "a", "b", "b"]

    def test_a_line_without_a_time_belongs_to_the_latest(self) -> None:
        assert owner(tracker(start("a", 0), start("b", 20)).find("", 0)) == "b"

    def test_a_line_belongs_to_the_invocation_of_its_request_id(self) -> None:
        invocations = tracker(start("a", 0), start("b", 20))

        assert [owner(invocations.find(name, at(25))) for name in ("a", "b", "c")] == ["a", "b", ""]

    def test_an_id_that_is_not_text_belongs_to_no_invocation(self) -> None:
        odd: Any = ["a"]

        assert tracker(start("a", 0)).find(odd, at(25)) is None

    def test_invoke_alone_opens_an_invocation_once_everything_before_has_ended(self) -> None:
        """A line may be older than the moment at which INVOKE reached us."""
        invocations = tracker(*INIT)
        invocations.observe_invoke("a", arn=ARN, trace_header="", at_ns=at(3))
        first = [owner(invocations.find("", at(ms))) for ms in (-60, 1, 5)]
        for event in (start("a", 0), done("a", 10)):
            invocations.observe(event)
        invocations.observe_invoke("b", arn=ARN, trace_header="", at_ns=at(33))
        second = [owner(invocations.find("", at(ms))) for ms in (5, 15, 35)]

        assert first == ["", "a", "a"]
        assert second == ["a", "b", "b"]
        assert owner(invocations.find("", 0)) == "b"

    def test_lines_of_an_init_belong_to_no_invocation(self) -> None:
        invocations = tracker(init_start(-100))
        invocations.observe_invoke("a", arn=ARN, trace_header="", at_ns=at(3))

        assert [owner(invocations.find("", ns)) for ns in (at(-60), at(5), 0)] == ["", "", ""]

    def test_a_late_end_of_an_earlier_invocation_does_not_take_lines_of_the_running_one(self) -> None:
        invocations = tracker(start("b", 20), report("a", 12, duration_ms=10))

        assert [owner(invocations.find("", at(ms))) for ms in (5, 25)] == ["a", "b"]

    def test_nothing_is_guessed_on_managed_instances(self) -> None:
        invocations = tracker(start("a", 0), is_managed=True)

        assert [owner(invocations.find(name, at(5))) for name in ("", "a", "b")] == ["", "a", ""]


def owner(invocation: Invocation | None) -> str:
    return invocation.request_id if invocation else ""


def test_an_invocation_has_ended_once_lambda_reports_it() -> None:
    invocations = tracker(start("a", 0), start("b", 0), start("c", 0), done("a", 10), report("b", 10))

    assert [invocations.has_ended(name) for name in ("a", "b", "c", "d")] == [True, True, False, False]


@pytest.mark.parametrize("seed", range(5))
def test_sixteen_concurrent_invocations_are_kept_apart(seed: int) -> None:
    """On managed instances: 16 workers of 20 invocations each, and everything late by up to three invocations."""
    names = [f"{worker}-{turn}" for worker, turn in itertools.product(range(16), range(20))]
    chance = random.Random(seed)
    story: list[tuple[float, Event | str]] = []
    for name in names:
        begin, end = moments(name)
        parts: list[tuple[int, Event | str]] = [
            (begin, start(name, begin)),
            (begin, name),
            (end, name),
            (end, ""),
            (end, report(name, end)),
        ]
        story += [(ms + chance.uniform(0, 300), part) for ms, part in parts]
    story.sort(key=lambda late: late[0])
    invocations = tracker(is_managed=True)

    owners = set()
    completed: list[Completed] = []
    for number, (ms, part) in enumerate(story):
        if isinstance(part, str):
            owners.add((part, owner(invocations.find(part, at(ms)))))
        else:
            assert invocations.observe(part)
        if number % 100 == 0:
            completed += invocations.take_completed()
    invocations.shut_down("spindown", at(99_999))
    completed += invocations.take_completed()

    # Correctly or not at all: a line may come before anything is known of its invocation.
    assert owners <= {(name, name) for name in names} | {(name, "") for name in names} | {("", "")}
    ended = [one for one in completed if isinstance(one, CompletedInvocation)]
    assert sorted((one.request_id, one.end_ns, one.status) for one in ended) == sorted(
        (name, at(moments(name)[1]), "success") for name in names
    )
    assert len({one.span_id for one in ended}) == len(names)


def moments(name: str) -> tuple[int, int]:
    worker, turn = map(int, name.split("-"))
    return turn * 100 + worker, turn * 100 + worker + 50


def test_a_bounded_number_of_completed_invocations_is_remembered() -> None:
    invocations = tracker()
    for number in range(300):
        for event in (start(f"{number}", number * 10), done(f"{number}", number * 10 + 5)):
            invocations.observe(event)
    assert len(invocations.take_completed()) == 300

    assert [number for number in range(300) if invocations.has_ended(f"{number}")] == list(range(44, 300))


def test_forgetting_an_attempt_keeps_the_one_after_it() -> None:
    invocations = tracker(start("a", 0), done("a", 5), start("a", 10))
    for number in range(300):
        invocations.observe(done(f"{number}", 100 + number))
    invocations.take_completed()
    invocations.observe(done("a", 2_000))
    invocations.take_completed()

    assert [invocations.has_ended(name) for name in ("0", "a")] == [False, True]


def test_the_oldest_of_too_many_is_completed_with_what_is_known() -> None:
    invocations = tracker(is_managed=True)
    for number in range(1_026):
        invocations.observe(start(f"{number}", number))

    assert in_short(invocations.take_completed()) == [("0", at(0), at(0), ""), ("1", at(1), at(1), "")]
    assert [owner(invocations.find(name, 0)) for name in ("0", "1", "2")] == ["", "", "2"]


def test_a_taken_invocation_is_not_taken_again_as_the_oldest() -> None:
    invocations = tracker(start("0", 0), done("0", 0), is_managed=True)
    assert len(invocations.take_completed()) == 1

    for number in range(1, 1_025):
        invocations.observe(start(f"{number}", number))

    assert invocations.take_completed() == []


NAMES = st.sampled_from(["a", "b", "c", ""])
MOMENTS = st.integers(-50, 50) | st.none()
EVENTS = st.one_of(
    st.builds(start, NAMES, MOMENTS),
    st.builds(done, NAMES, MOMENTS, status=st.sampled_from(["success", "error", "timeout", ""])),
    st.builds(report, NAMES, MOMENTS, duration_ms=st.none() | st.floats(0, 1e13)),
    st.builds(platform_event, st.sampled_from(["initStart", "initRuntimeDone", "initReport"]), MOMENTS),
    st.builds(platform_event, st.sampled_from(["restoreStart", "restoreRuntimeDone", "restoreReport"]), MOMENTS),
)


@FAST
@given(st.lists(st.tuples(EVENTS, NAMES, st.booleans(), st.booleans()), max_size=25), st.booleans())
def test_any_sequence_of_events_completes_each_invocation_once(
    story: list[tuple[Event, str, bool, bool]], is_managed: bool
) -> None:
    invocations = tracker(is_managed=is_managed)
    completed = []
    for event, name, is_invoked, is_taken in story:
        invocations.observe(event)
        if is_invoked:
            invocations.observe_invoke(name, arn="", trace_header=HEADER, at_ns=at(0))
        invocations.find(name, event.time_ns)
        if is_taken:
            completed += invocations.take_completed()
    invocations.shut_down("timeout", at(60))
    completed += invocations.take_completed()

    assert invocations.take_completed() == []
    for one in completed:
        if not isinstance(one, LateSpans):
            assert 0 <= one.start_ns <= one.end_ns < 1 << 64
            assert (len(one.trace_id), len(one.span_id)) == (32, 16)
    known = {one.request_id for one in completed if isinstance(one, CompletedInvocation)}
    named = {event.fields.get("requestId", "") for event, *_ in story} | {name for _, name, yes, _ in story if yes}
    assert known | {""} == named | {""}


def test_the_duration_of_the_init_in_the_report_tells_of_a_cold_start() -> None:
    """Where the events of the init were not delivered."""
    invocations = tracker(start("a", 0), done("a", 10), platform_report("a", 12, initDurationMs=463.51))
    (completed,) = invocations.take_completed()

    assert isinstance(completed, CompletedInvocation)
    assert completed.is_cold


def test_a_report_that_comes_after_the_invocation_was_taken_tells_of_the_cold_start_once() -> None:
    invocations = tracker(start("a", 0), done("a", 10))
    invocations.take_completed()

    invocations.observe(platform_report("a", 12, initDurationMs=463.51))

    (late,) = invocations.take_completed()
    assert isinstance(late, LateSpans)
    assert (late.spans, late.is_late_cold_start) == ((), True)
    assert invocations.take_completed() == []


def test_a_report_without_an_init_that_comes_late_changes_nothing() -> None:
    invocations = tracker(start("a", 0), done("a", 10))
    invocations.take_completed()

    invocations.observe(platform_report("a", 12))

    assert invocations.take_completed() == []


@pytest.mark.parametrize(
    ("initialization_type", "is_cold"), [("provisioned-concurrency", False), ("snap-start", False), ("on-demand", True)]
)
def test_the_init_in_advance_that_a_report_mentions_is_no_cold_start(initialization_type: str, is_cold: bool) -> None:
    init = [
        platform_event("initStart", -900, initializationType=initialization_type, phase="init"),
        platform_event("initReport", -400, initializationType=initialization_type, phase="init"),
    ]
    report = platform_report("a", 12, initDurationMs=463.51)
    invocations = tracker(*init, start("a", 0), done("a", 10), report)

    completed = [one for one in invocations.take_completed() if isinstance(one, CompletedInvocation)]

    assert [one.is_cold for one in completed] == [is_cold]


def platform_report(request_id: str, ms: float, **metrics: float) -> Event:
    return platform_event("report", ms, requestId=request_id, status="success", metrics=metrics)
