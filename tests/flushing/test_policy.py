from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.flushing.decisions import FlushSettings, Mode, Observation, Step
from telemetry_forwarder.flushing.policy import FlushPolicy
from tests.support.fake_clock import FakeClock

BUDGET_S = 0.5
EVERY_S = 5.0
LONGEST_S = 10.0
MARGIN_S = 0.2
REPORT_S = 0.15
SPOOL_S = 0.3
LAST_WORD_S = 0.1
TIMEOUT_S = 60.0


@dataclass
class Response:
    """A step in plain numbers."""

    next_: bool
    flush_s: float | None = None
    wake_s: float | None = None

    @classmethod
    def of(cls, step: Step) -> "Response":
        flush_s = None if step.flush is None else round(step.flush.left_s(), 6)
        wake_s = None if step.wake_in_s is None else round(step.wake_in_s, 6)
        return cls(step.may_call_next, flush_s, wake_s)


HOLD = False
LET_GO = True


class Bench:
    """A policy, with a clock and an outbox to play with."""

    def __init__(
        self,
        mode: Mode = Mode.END,
        *,
        budget_s: float = BUDGET_S,
        has_runtime_done: bool = True,
        is_managed: bool = False,
    ) -> None:
        self.clock = FakeClock()
        settings = FlushSettings(mode, EVERY_S, budget_s, LONGEST_S, MARGIN_S, REPORT_S, SPOOL_S)
        self.policy = FlushPolicy(
            settings, self.clock, has_runtime_done=has_runtime_done, is_managed=is_managed
        )
        self.has_unsent = False
        self.is_nearly_full = False
        self.is_circuit_open = False

    def invoke(self, request_id: str = "a", *, timeout_s: float = TIMEOUT_S) -> Response:
        self.policy.invoked(request_id, Deadline.after(timeout_s, self.clock))
        return self.answer()

    def end(self, request_id: str = "a", *, ago_s: float = 0.0) -> Response:
        self.policy.runtime_done(request_id, self.clock.unix_ns() - round(ago_s * 1_000_000_000))
        return self.answer()

    def hold(self) -> Response:
        self.has_unsent = True
        return self.answer()

    def after(self, seconds: float) -> Response:
        self.clock.advance(seconds)
        return self.answer()

    def flushed(self, *, was_delivered: bool = True) -> Response:
        if was_delivered:
            self.has_unsent = False
        self.policy.flushed(was_delivered=was_delivered)
        return self.answer()

    def shut_down(self, seconds: float = 2.0) -> Response:
        self.policy.shutting_down(Deadline.after(seconds, self.clock))
        return self.answer()

    def answer(self) -> Response:
        return Response.of(self.step())

    def step(self) -> Step:
        return self.policy.step(
            Observation(
                has_unsent=self.has_unsent,
                is_nearly_full=self.is_nearly_full,
                is_circuit_open=self.is_circuit_open,
            )
        )

    def make_busy(self) -> None:
        """Invocations so close together that `auto` stops waiting for their ends."""
        for number in range(5):
            self.invoke(f"busy {number}")
            self.end(f"busy {number}")


def test_default_settings_are_those_that_the_readme_names() -> None:
    assert FlushSettings() == FlushSettings(
        Mode.AUTO, EVERY_S, BUDGET_S, LONGEST_S, MARGIN_S, REPORT_S, SPOOL_S
    )


# At the end of an invocation: `end`, and `auto` while invocations are rare.

AT_END = pytest.mark.parametrize("mode", [Mode.END, Mode.AUTO])


@AT_END
def test_next_is_held_until_the_end_and_its_flush(mode: Mode) -> None:
    bench = Bench(mode)

    assert bench.invoke() == Response(HOLD, wake_s=TIMEOUT_S - MARGIN_S)
    assert bench.hold() == Response(HOLD, wake_s=EVERY_S)
    assert bench.end() == Response(HOLD, flush_s=LONGEST_S, wake_s=BUDGET_S)
    assert bench.flushed() == Response(LET_GO)


@AT_END
def test_next_is_let_go_at_once_when_there_is_nothing_to_flush(mode: Mode) -> None:
    bench = Bench(mode)
    bench.invoke()

    assert bench.end() == Response(LET_GO)


def test_end_of_another_invocation_changes_nothing() -> None:
    bench = Bench()
    bench.invoke("a")

    assert bench.end("b") == Response(HOLD, wake_s=TIMEOUT_S - MARGIN_S)


def test_end_that_came_before_its_invoke_is_not_waited_for() -> None:
    bench = Bench()
    bench.end("a")
    bench.hold()

    assert bench.invoke("a") == Response(HOLD, flush_s=LONGEST_S, wake_s=BUDGET_S)
    assert bench.flushed() == Response(LET_GO)


def test_report_ends_an_invocation_whose_end_went_lost() -> None:
    bench = Bench()
    bench.invoke("a")

    bench.policy.reported("a")

    assert bench.answer() == Response(LET_GO)


def test_failed_flush_lets_go_without_another_try() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()
    bench.end()

    assert bench.flushed(was_delivered=False) == Response(LET_GO)


def test_flush_that_hangs_is_not_waited_for_beyond_the_budget() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()
    bench.end()

    assert bench.after(BUDGET_S - 0.1) == Response(HOLD, wake_s=0.1)
    assert bench.after(0.1) == Response(LET_GO)


@pytest.mark.parametrize(("later_s", "next_"), [(29.0, LET_GO), (31.0, HOLD)])
def test_endpoint_too_slow_for_the_budget_is_not_waited_for_again_for_a_while(
    later_s: float, next_: bool
) -> None:
    bench = Bench()
    bench.invoke("a")
    bench.hold()
    bench.end("a")
    bench.after(BUDGET_S)
    bench.flushed()

    bench.clock.advance(later_s)

    assert bench.invoke("b").next_ is next_


def test_what_a_slow_endpoint_is_to_get_goes_on_the_timer() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.hold()
    bench.end("a")
    bench.after(BUDGET_S)
    bench.flushed()
    bench.hold()
    bench.clock.advance(EVERY_S)

    assert bench.invoke("b") == Response(LET_GO, flush_s=LONGEST_S)


def test_budget_counts_from_when_the_end_came_not_from_when_it_was_read() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()

    assert bench.end(ago_s=0.4) == Response(HOLD, flush_s=LONGEST_S, wake_s=0.1)


@pytest.mark.parametrize("ago_s", [0.46, 0.5, 3_600])
def test_rest_of_the_budget_that_is_good_for_nothing_is_not_used(ago_s: float) -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()

    assert bench.end(ago_s=ago_s) == Response(LET_GO)


def test_flush_at_the_end_is_not_waited_for_beyond_the_invocation() -> None:
    bench = Bench()
    bench.invoke(timeout_s=3.0)
    bench.hold()
    bench.after(2.5)

    assert bench.end() == Response(HOLD, flush_s=LONGEST_S, wake_s=0.3)
    assert bench.after(0.3) == Response(LET_GO)


def test_end_that_never_comes_costs_one_invocation_and_no_other() -> None:
    bench = Bench()
    bench.invoke("a", timeout_s=3.0)

    assert bench.after(3.0 - MARGIN_S) == Response(LET_GO)
    assert bench.invoke("b") == Response(LET_GO)
    bench.end("b")
    assert bench.invoke("c") == Response(HOLD, wake_s=TIMEOUT_S - MARGIN_S)


def test_invocation_shorter_than_the_margin_is_not_held() -> None:
    assert Bench().invoke(timeout_s=MARGIN_S) == Response(LET_GO)


def test_long_invocation_is_flushed_while_it_runs() -> None:
    bench = Bench()
    bench.invoke()
    bench.after(1)
    bench.hold()

    assert bench.after(EVERY_S - 1) == Response(HOLD, wake_s=1)
    assert bench.after(1) == Response(HOLD, flush_s=LONGEST_S, wake_s=LONGEST_S)
    assert bench.flushed() == Response(HOLD, wake_s=TIMEOUT_S - MARGIN_S - EVERY_S - 1)
    assert bench.hold() == Response(HOLD, wake_s=EVERY_S)


def test_failed_flush_beside_a_running_invocation_is_tried_again_at_the_next_interval() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()
    bench.after(EVERY_S)

    assert bench.flushed(was_delivered=False) == Response(HOLD, wake_s=EVERY_S)


def test_end_that_comes_during_a_flush_gets_its_own_within_its_budget() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()
    bench.after(EVERY_S)
    bench.after(0.2)

    assert bench.end() == Response(HOLD, wake_s=BUDGET_S)
    bench.policy.flushed(was_delivered=True)
    assert bench.after(0.1) == Response(HOLD, flush_s=LONGEST_S, wake_s=0.4)
    assert bench.flushed() == Response(LET_GO)


def test_flush_that_outlives_the_budget_of_the_end_is_not_waited_for() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()
    bench.after(EVERY_S)

    assert bench.end(ago_s=0.4) == Response(HOLD, wake_s=0.1)
    assert bench.after(0.1) == Response(LET_GO)


def test_what_an_earlier_invocation_left_waits_for_the_end_of_this_one() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.end("a")
    assert bench.hold() == Response(LET_GO)
    bench.after(3_600)

    assert bench.invoke("b") == Response(HOLD, wake_s=EVERY_S)
    assert bench.end("b") == Response(HOLD, flush_s=LONGEST_S, wake_s=BUDGET_S)


# In the background of later invocations: `every`, and `auto` while invocations are close together.


def test_every_lets_go_at_once() -> None:
    assert Bench(Mode.EVERY).invoke() == Response(LET_GO)


def test_every_flushes_when_the_interval_has_passed_and_waits_for_that_flush_only() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke("a")
    bench.end("a")
    bench.hold()
    bench.clock.advance(EVERY_S)

    assert bench.invoke("b") == Response(HOLD, flush_s=LONGEST_S, wake_s=BUDGET_S)
    assert bench.flushed() == Response(LET_GO)
    bench.hold()
    assert bench.invoke("c") == Response(LET_GO, wake_s=EVERY_S)


def test_every_waits_for_a_flush_no_longer_than_the_budget() -> None:
    bench = Bench(Mode.EVERY)
    bench.hold()
    bench.clock.advance(EVERY_S)
    bench.invoke()

    assert bench.after(BUDGET_S) == Response(LET_GO)


def test_every_flushes_a_long_invocation_on_the_timer() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke()

    assert bench.hold() == Response(LET_GO, wake_s=EVERY_S)
    assert bench.after(EVERY_S) == Response(LET_GO, flush_s=LONGEST_S)


def test_interval_that_passed_in_the_freezer_has_passed() -> None:
    bench = Bench(Mode.EVERY)
    bench.hold()
    bench.clock.jump_wall(EVERY_S)

    assert bench.invoke() == Response(HOLD, flush_s=LONGEST_S, wake_s=BUDGET_S)


def test_no_flush_begins_when_the_sandbox_is_about_to_freeze() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke()
    bench.hold()
    bench.end()

    assert bench.after(EVERY_S) == Response(LET_GO)


def test_auto_stops_waiting_for_the_end_when_invocations_come_close_together() -> None:
    bench = Bench(Mode.AUTO)
    bench.make_busy()

    assert bench.invoke("x") == Response(LET_GO)


def test_auto_waits_for_the_end_again_when_invocations_have_become_rare() -> None:
    bench = Bench(Mode.AUTO)
    bench.make_busy()
    bench.clock.advance(31)

    assert bench.invoke("x") == Response(HOLD, wake_s=TIMEOUT_S - MARGIN_S)


@pytest.mark.parametrize("mode", [Mode.END, Mode.EVERY])
def test_other_modes_do_not_change_with_the_cadence(mode: Mode) -> None:
    bench = Bench(mode)
    bench.make_busy()

    assert bench.invoke("x").next_ is (LET_GO if mode is Mode.EVERY else HOLD)


# Where nothing is waited for.


def nothing_is_waited_for(bench: Bench) -> None:
    bench.hold()
    assert bench.invoke().next_ is LET_GO


def test_without_telemetry_nothing_is_waited_for() -> None:
    nothing_is_waited_for(Bench(has_runtime_done=False))


def test_telemetry_that_turns_out_to_be_unsupported_is_not_waited_for() -> None:
    bench = Bench()
    bench.invoke()

    bench.policy.telemetry_unavailable()

    assert bench.answer() == Response(LET_GO)
    nothing_is_waited_for(bench)


def test_budget_of_zero_waits_for_nothing() -> None:
    nothing_is_waited_for(Bench(budget_s=0.0))


def test_shutdown_mode_waits_for_nothing() -> None:
    nothing_is_waited_for(Bench(Mode.SHUTDOWN))


def test_open_circuit_lets_go_at_once_and_is_tried_in_the_background() -> None:
    bench = Bench()
    bench.is_circuit_open = True
    bench.hold()
    bench.clock.advance(EVERY_S)

    assert bench.invoke() == Response(LET_GO, flush_s=LONGEST_S)
    assert bench.flushed(was_delivered=False) == Response(LET_GO, wake_s=EVERY_S)
    nothing_is_waited_for(bench)


def test_circuit_that_opens_lets_go_of_what_is_held() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()
    bench.end()

    bench.is_circuit_open = True

    assert bench.answer() == Response(LET_GO)


@pytest.mark.parametrize(
    ("is_circuit_open", "is_nearly_full", "should_spool"),
    [(False, False, False), (False, True, False), (True, False, False), (True, True, True)],
)
def test_disk_makes_room_when_the_endpoint_does_not(
    is_circuit_open: bool, is_nearly_full: bool, should_spool: bool
) -> None:
    bench = Bench()
    bench.is_circuit_open = is_circuit_open
    bench.is_nearly_full = is_nearly_full

    assert bench.step().should_spool is should_spool


def test_managed_instances_live_by_the_timer_alone() -> None:
    bench = Bench(is_managed=True)

    assert bench.answer() == Response(LET_GO)
    assert bench.hold() == Response(LET_GO, wake_s=EVERY_S)
    assert bench.after(EVERY_S) == Response(LET_GO, flush_s=LONGEST_S)
    assert bench.flushed() == Response(LET_GO)


def test_shutdown_mode_flushes_only_what_threatens_to_overflow() -> None:
    bench = Bench(Mode.SHUTDOWN)
    bench.invoke()
    bench.hold()
    assert bench.after(3_600) == Response(LET_GO)

    bench.is_nearly_full = True

    assert bench.answer() == Response(LET_GO, flush_s=LONGEST_S)


def test_outbox_that_stays_nearly_full_after_a_failure_is_tried_again_after_a_second() -> None:
    bench = Bench(Mode.SHUTDOWN)
    bench.invoke()
    bench.is_nearly_full = True
    bench.hold()

    assert bench.flushed(was_delivered=False) == Response(LET_GO, wake_s=1.0)
    assert bench.after(1.0) == Response(LET_GO, flush_s=LONGEST_S)


def test_nearly_full_outbox_is_flushed_before_the_interval_has_passed() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke()
    bench.is_nearly_full = True

    assert bench.hold() == Response(LET_GO, flush_s=LONGEST_S)


# After SHUTDOWN.


def test_drain_flushes_at_once_and_leaves_time_to_spool() -> None:
    bench = Bench()
    bench.hold()

    assert bench.shut_down() == Response(HOLD, flush_s=2.0 - SPOOL_S)


def test_drain_without_anything_held_is_over_at_once() -> None:
    bench = Bench()
    bench.shut_down()

    assert bench.step().is_over


def test_drain_takes_in_the_last_report_and_flushes_it_too() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.hold()
    bench.end("a")
    bench.flushed()

    assert bench.shut_down() == Response(HOLD, wake_s=REPORT_S)
    bench.policy.reported("a")
    assert bench.hold() == Response(HOLD, flush_s=2.0 - SPOOL_S)
    bench.flushed()
    assert bench.step().is_over


def test_drain_flushes_what_is_held_before_it_waits_for_the_last_report() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.hold()

    assert bench.shut_down().flush_s == 2.0 - SPOOL_S
    assert bench.flushed() == Response(HOLD, wake_s=REPORT_S)
    assert bench.hold() == Response(HOLD, wake_s=REPORT_S)
    assert bench.after(REPORT_S) == Response(HOLD, flush_s=round(2.0 - SPOOL_S - REPORT_S, 6))
    assert bench.flushed() == Response(HOLD)
    assert bench.step().is_over


def test_report_that_never_comes_is_not_waited_for_long() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.shut_down()
    bench.clock.advance(REPORT_S)

    assert bench.step().is_over


def test_drain_that_failed_leaves_the_rest_to_the_spool() -> None:
    bench = Bench()
    bench.hold()
    bench.shut_down()
    bench.flushed(was_delivered=False)

    assert bench.step().is_over


def test_drain_is_tried_even_if_the_last_flush_has_failed() -> None:
    bench = Bench()
    bench.invoke()
    bench.hold()
    bench.end()
    bench.flushed(was_delivered=False)

    assert bench.shut_down().flush_s == 2.0 - SPOOL_S


def test_drain_is_not_over_while_its_flush_is_under_way() -> None:
    bench = Bench()
    bench.hold()
    bench.shut_down()

    assert bench.step() == Step(may_call_next=False, wake_in_s=pytest.approx(2.0 - SPOOL_S + LAST_WORD_S))


def test_drain_gives_a_flush_up_that_does_not_end_with_its_deadline() -> None:
    bench = Bench()
    bench.hold()
    bench.shut_down()

    bench.clock.advance(2.0 - SPOOL_S + LAST_WORD_S)

    assert bench.step().is_over


def test_shutdown_too_late_for_a_flush_is_left_to_the_spool() -> None:
    bench = Bench()
    bench.hold()
    bench.shut_down(SPOOL_S)

    assert bench.step().is_over


def test_managed_instance_waits_for_the_last_reports_of_all_its_invocations() -> None:
    assert Bench(is_managed=True).shut_down() == Response(HOLD, wake_s=REPORT_S)


def test_without_telemetry_no_report_is_waited_for() -> None:
    bench = Bench(has_runtime_done=False)
    bench.invoke()
    bench.shut_down()

    assert bench.step().is_over


# Whatever happens, in whatever order.

EVENTS = st.sampled_from(
    ["invoke", "end", "report", "early", "hold", "flushed", "failed", "open", "close", "full"]
)
STORY = st.lists(st.tuples(EVENTS, st.floats(0, 12)), max_size=60)


class Story:
    """Lets things happen in any order, and checks after each what must never be."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.number = 0
        self.is_invoked = False
        self.let_go_at_s = 0.0
        self.ended_at_s = float("inf")
        self.flush: Deadline | None = None

    def happens(self, event: str, seconds: float) -> None:
        self._let_time_pass(seconds)
        self._tell(event)
        self.check()

    def _let_time_pass(self, seconds: float) -> None:
        """As a worker would: never beyond the moment at which the policy wants to be asked."""
        end_s = self.bench.clock.monotonic_s() + seconds
        while (left_s := end_s - self.bench.clock.monotonic_s()) > 0:
            wake_s = self.check().wake_in_s
            self.bench.clock.advance(left_s if wake_s is None else min(left_s, wake_s + 1e-6))

    def _tell(self, event: str) -> None:
        bench, request_id = self.bench, str(self.number)
        match event:
            case "invoke" if not self.is_invoked:
                self.number += 1
                self.is_invoked = True
                self.ended_at_s = float("inf")
                self.let_go_at_s = bench.clock.monotonic_s() + 8.0 - MARGIN_S
                bench.policy.invoked(str(self.number), Deadline.after(8.0, bench.clock))
            case "end" | "report":
                self.ended_at_s = min(self.ended_at_s, bench.clock.monotonic_s())
                if event == "end":
                    bench.policy.runtime_done(request_id, bench.clock.unix_ns())
                else:
                    bench.policy.reported(request_id)
            case "early":
                bench.policy.runtime_done(str(self.number + 1), bench.clock.unix_ns())
            case "hold":
                bench.has_unsent = True
            case "flushed" | "failed" if self.flush:
                self.flush = None
                bench.is_nearly_full = bench.is_nearly_full and event == "failed"
                bench.has_unsent = bench.has_unsent and event == "failed"
                bench.policy.flushed(was_delivered=event == "flushed")
            case "full":
                bench.is_nearly_full = bench.has_unsent = True
            case "open" | "close":
                bench.is_circuit_open = event == "open"

    def check(self) -> Step:
        step = self.bench.step()
        now_s = self.bench.clock.monotonic_s()
        if self.is_invoked and not step.may_call_next:
            assert now_s <= self.let_go_at_s + 1e-5, "never past the deadline less the margin"
            assert now_s <= self.ended_at_s + BUDGET_S + 1e-5, "never longer than the budget after the end"
        self.is_invoked = self.is_invoked and not step.may_call_next
        if step.flush:
            assert not self.flush, "never two at a time"
            assert 0 < step.flush.left_s() <= LONGEST_S + 1e-5
            self.flush = step.flush
        assert step.wake_in_s is None or step.wake_in_s > 0, "never in circles"
        return step


@given(st.sampled_from(Mode), st.booleans(), STORY)
def test_function_never_pays_more_than_was_promised(
    mode: Mode, has_runtime_done: bool, story: list[tuple[str, float]]
) -> None:
    told = Story(Bench(mode, has_runtime_done=has_runtime_done))

    for event, seconds in story:
        told.happens(event, seconds)


@given(STORY)
def test_next_is_never_held_without_telemetry(story: list[tuple[str, float]]) -> None:
    bench = Bench(has_runtime_done=False)
    told = Story(bench)

    for event, seconds in story:
        told.happens(event, seconds)
        assert bench.step().may_call_next


@given(STORY, st.booleans(), st.booleans())
def test_drain_ends_in_time_whatever_was_before(
    story: list[tuple[str, float]], was_delivered: bool, hangs: bool
) -> None:
    bench = Bench(Mode.AUTO)
    told = Story(bench)
    for event, seconds in story:
        told.happens(event, seconds)
    if told.flush:
        bench.policy.flushed(was_delivered=was_delivered)
    until = Deadline.after(2.0, bench.clock)
    bench.policy.shutting_down(until)

    for _ in range(10):
        step = bench.step()
        if step.is_over:
            break
        if step.flush:
            bench.clock.advance(step.flush.left_s() if hangs else 0.02)
            bench.flushed(was_delivered=was_delivered)
        else:
            bench.clock.advance(step.wake_in_s or 0.0)

    assert bench.step().is_over
    assert until.left_s() >= SPOOL_S - 1e-5
