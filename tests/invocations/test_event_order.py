"""The events of an environment in any order, some of them lost, and SHUTDOWN anywhere between them."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.invocations.completed import Completed, CompletedInvocation, CompletedPhase
from telemetry_forwarder.telemetry.records import Event
from tests.support.stories import (
    ARN,
    at,
    done,
    init_done,
    init_report,
    init_start,
    platform_event,
    report,
    start,
    tracker,
)

NORMAL = (init_start(-100), init_done(-50), init_report(-40, duration_ms=60))
TIMED_OUT = (init_start(-100), init_done(-50, status="timeout"), init_report(-50, status="timeout", duration_ms=50))
CRASHED = (
    init_start(-100),
    init_done(-50, status="error", errorType="Runtime.ExitError"),
    init_report(-45, status="error", duration_ms=55),
)
SUPPRESSED = (
    init_start(10, phase="invoke"),
    init_done(60, phase="invoke"),
    init_report(65, phase="invoke", duration_ms=55),
)
RESTORE = (
    platform_event("restoreStart", -100),
    platform_event("restoreRuntimeDone", -50, status="success"),
    platform_event("restoreReport", -40, status="success", metrics={"durationMs": 60}),
)
INVOCATION = (start("a", 0), done("a", 100, duration_ms=100), report("a", 110, duration_ms=110))
INVOKE, SHUTDOWN, TAKE = "INVOKE", "SHUTDOWN", "take"
SHUTDOWN_MS = 500
REASONS = ("spindown", "timeout", "failure")


class Environment:
    """Applies the events to a tracker, and notes what it completes."""

    def __init__(self, reason: str) -> None:
        self._tracker = tracker()
        self._reason = reason
        self._seen: list[Any] = []
        self.completed: list[Completed] = []
        self.seen_by_init: list[Any] = []
        """The events that had arrived when the span of the init was taken."""

    def play(self, story: list[Any]) -> None:
        for step in (*story, SHUTDOWN, TAKE):
            if step == TAKE:
                self._take()
            elif step == SHUTDOWN:
                self._tracker.shut_down(self._reason, at(SHUTDOWN_MS))
            elif step == INVOKE:
                self._tracker.observe_invoke("a", arn=ARN, trace_header="", at_ns=at(1))
            else:
                self._tracker.observe(step)
            self._seen.append(step)

    def _take(self) -> None:
        completed = self._tracker.take_completed()
        if any(isinstance(each, CompletedPhase) for each in completed):
            self.seen_by_init = list(self._seen)
        self.completed += completed

    @property
    def inits(self) -> list[CompletedPhase]:
        return [each for each in self.completed if isinstance(each, CompletedPhase)]

    @property
    def cold_starts(self) -> int:
        late = sum(each.is_late_cold_start for each in self.inits)
        return late + sum(isinstance(each, CompletedInvocation) and each.is_cold for each in self.completed)


@st.composite
def stories(draw: Callable[[Any], Any]) -> tuple[tuple[Event, ...], list[Any]]:
    """Return the events of an init, and a story with some of them, an invocation, and a SHUTDOWN."""
    init = draw(st.sampled_from([NORMAL, TIMED_OUT, CRASHED, SUPPRESSED, RESTORE]))
    has_invocation = init is SUPPRESSED or draw(st.booleans())
    parts = [*init, *((INVOKE, *INVOCATION) if has_invocation else ()), SHUTDOWN]
    story = [part for part in parts if draw(st.integers(0, 4))]
    if draw(st.booleans()):
        story = draw(st.permutations(story))
    for _ in range(draw(st.integers(0, 3))):
        story.insert(draw(st.integers(0, len(story))), TAKE)
    return init, story


@given(stories(), st.sampled_from(REASONS))
def test_an_init_has_one_span_of_the_right_length(told: tuple[tuple[Event, ...], list[Any]], reason: str) -> None:
    init, story = told
    environment = Environment(reason)

    environment.play(story)

    known = [event for event in init if event in environment.seen_by_init]
    assert len(environment.inits) == any(event in story for event in init)
    if len(known) > 1 or (known and known[0] is init[2]):
        [span] = environment.inits
        assert (span.start_ns, span.end_ns) == (init[0].time_ns, known[-1].time_ns)


@given(stories(), st.sampled_from(REASONS))
def test_a_cold_start_is_counted_once(told: tuple[tuple[Event, ...], list[Any]], reason: str) -> None:
    init, story = told
    environment = Environment(reason)

    environment.play(story)

    has_invocation = INVOKE in story or any(event in story for event in INVOCATION)
    assert environment.cold_starts == (has_invocation and any(event in story for event in init))


@pytest.mark.parametrize(
    ("reason", "end_ms", "status"), [("spindown", -100, ""), ("timeout", 500, "timeout"), ("failure", 500, "error")]
)
def test_an_init_without_an_end_lasts_until_shutdown_fails_it(reason: str, end_ms: int, status: str) -> None:
    environment = Environment(reason)

    environment.play([NORMAL[0]])

    [span] = environment.inits
    assert (span.start_ns, span.end_ns, span.status) == (at(-100), at(end_ms), status)


@pytest.mark.parametrize("reason", REASONS)
def test_an_init_without_an_end_lasts_until_its_invocation_begins(reason: str) -> None:
    environment = Environment(reason)

    environment.play([NORMAL[0], *INVOCATION])

    [span] = environment.inits
    assert (span.start_ns, span.end_ns) == (at(-100), at(0))


@pytest.mark.parametrize("ahead_s", [-34_560_000, -3_600, 0, 3_600, 34_560_000])
def test_shutdown_ends_what_is_open_by_lambdas_clock(ahead_s: int) -> None:
    """The wall clock of the environment may differ from Lambda's."""
    invocations = tracker()
    ahead_ns = ahead_s * 1_000_000_000
    for event in (init_start(-100), start("a", 0)):
        invocations.observe(type(event)(**{**vars_of(event), "observed_ns": event.time_ns + 5_000_000 + ahead_ns}))

    invocations.shut_down("timeout", at(500) + ahead_ns)

    init, invocation = invocations.take_completed()
    assert isinstance(invocation, CompletedInvocation)
    assert isinstance(init, CompletedPhase)
    assert (init.end_ns, invocation.start_ns) == (at(0), at(0))
    assert abs(invocation.end_ns - at(500)) <= 5_000_000


@pytest.mark.parametrize(
    ("lags_s", "end_s"),
    [
        ([0, 1, 3_600], 500),
        # An event that waits for a thaw does not prove that the clock is fast; an hour that all events take does.
        ([3_600, 3_601], 500 - 3_600),
        ([3_600, 1], 500),
        # The clock was slow and has been set, or an event has waited for a thaw.
        ([-600, 1], 500),
        ([-600, 7_200], 500),
        ([1, -600], 500 + 600),
    ],
)
def test_clock_is_corrected_by_what_the_latest_events_prove(lags_s: list[int], end_s: int) -> None:
    invocations = tracker()
    for number, lag_s in enumerate(lags_s):
        event = init_start(-100 + number)
        invocations.observe(type(event)(**{**vars_of(event), "observed_ns": event.time_ns + lag_s * 1_000_000_000}))
    invocations.observe_invoke("a", arn=ARN, trace_header="", at_ns=at(500_000))

    invocations.shut_down("timeout", at(500_000))

    [ended] = [each for each in invocations.take_completed() if isinstance(each, CompletedInvocation)]
    assert ended.end_ns == at(end_s * 1_000)


def vars_of(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in type(event).__annotations__ | Event.__annotations__}
