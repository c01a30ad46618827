from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.flushing.policy import FlushPolicy, FlushSettings, Mode
from telemetry_forwarder.flushing.step import Step
from tests.support.fake_clock import FakeClock

BUDGET_S = 0.5
INTERVAL_S = 5.0
FLUSH_LIMIT_S = 10.0
REPORT_WAIT_S = 0.15
SPOOL_RESERVE_S = 0.3
RESULT_WAIT_S = 0.1
TIMEOUT_S = 60.0


@dataclass
class Expected:
    """The parts of a step that most tests compare, as numbers."""

    may_call_next: bool
    flush_s: float | None = None
    wake_s: float | None = None

    @classmethod
    def of(cls, step: Step) -> "Expected":
        flush_s = None if step.flush is None else round(step.flush.left_s(), 6)
        wake_s = None if step.wake_in_s is None else round(step.wake_in_s, 6)
        return cls(step.may_call_next, flush_s, wake_s)


WITHHELD = False
RELEASED = True


class Bench:
    """A policy with a clock and a simulated outbox."""

    def __init__(
        self,
        mode: Mode = Mode.END,
        *,
        budget_s: float = BUDGET_S,
        has_runtime_done: bool = True,
        is_managed: bool = False,
        random: float = 1.0,
    ) -> None:
        self.clock = FakeClock()
        settings = FlushSettings(mode, INTERVAL_S, budget_s, SPOOL_RESERVE_S)
        self.policy = FlushPolicy(
            settings, self.clock, has_runtime_done=has_runtime_done, is_managed=is_managed, random=lambda: random
        )
        self.has_unsent = False
        self.is_nearly_full = False
        self.has_open_phase = False
        self.is_circuit_open = False

    def invoke(self, request_id: str = "a", *, timeout_s: float = TIMEOUT_S) -> Expected:
        self.policy.invoked(request_id, Deadline.after(timeout_s, self.clock))
        return self.result()

    def end(self, request_id: str = "a", *, ago_s: float = 0.0) -> Expected:
        self.policy.runtime_done(request_id, self.clock.unix_ns() - round(ago_s * 1_000_000_000))
        return self.result()

    def receive(self) -> Expected:
        self.has_unsent = True
        return self.result()

    def after(self, seconds: float) -> Expected:
        self.clock.advance(seconds)
        return self.result()

    def flushed(self, *, was_delivered: bool = True) -> Expected:
        if was_delivered:
            self.has_unsent = False
        self.policy.flushed(was_delivered=was_delivered)
        return self.result()

    def shut_down(self, seconds: float = 2.0) -> Expected:
        self.policy.shutting_down(Deadline.after(seconds, self.clock))
        return self.result()

    def result(self) -> Expected:
        return Expected.of(self.step())

    def step(self) -> Step:
        return self.policy.step(
            has_unsent=self.has_unsent,
            is_nearly_full=self.is_nearly_full,
            is_circuit_open=self.is_circuit_open,
            has_open_phase=self.has_open_phase,
        )

    def make_busy(self) -> None:
        """Invoke so often that `auto` stops waiting for the end of invocations."""
        for number in range(5):
            self.invoke(f"busy {number}")
            self.end(f"busy {number}")


@pytest.mark.parametrize("is_managed", [True, False])
def test_first_interval_of_a_process_is_shortened_by_a_random_part(is_managed: bool) -> None:
    bench = Bench(Mode.EVERY, is_managed=is_managed, random=0.25)
    bench.invoke()

    assert bench.receive().wake_s == INTERVAL_S / 4
    assert bench.after(INTERVAL_S / 4).flush_s == FLUSH_LIMIT_S
    bench.flushed()
    assert bench.receive().wake_s == INTERVAL_S


# Flushing at the end of an invocation: `end`, and `auto` while invocations are rare.

AT_END = pytest.mark.parametrize("mode", [Mode.END, Mode.AUTO])


@AT_END
def test_next_is_withheld_until_the_end_and_its_flush(mode: Mode) -> None:
    bench = Bench(mode)

    assert bench.invoke() == Expected(WITHHELD, wake_s=TIMEOUT_S)
    assert bench.receive() == Expected(WITHHELD, wake_s=INTERVAL_S)
    assert bench.end() == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=BUDGET_S)
    assert bench.flushed() == Expected(RELEASED)


@AT_END
def test_next_is_released_at_once_if_there_is_nothing_to_flush(mode: Mode) -> None:
    bench = Bench(mode)
    bench.invoke()

    assert bench.end() == Expected(RELEASED)


def test_end_of_another_invocation_changes_nothing() -> None:
    bench = Bench()
    bench.invoke("a")

    assert bench.end("b") == Expected(WITHHELD, wake_s=TIMEOUT_S)


def test_end_that_arrived_before_its_invoke_is_not_waited_for() -> None:
    bench = Bench()
    bench.end("a")
    bench.receive()

    assert bench.invoke("a") == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=BUDGET_S)
    assert bench.flushed() == Expected(RELEASED)


def test_report_ends_an_invocation_whose_end_was_lost() -> None:
    bench = Bench()
    bench.invoke("a")

    bench.policy.reported("a")

    assert bench.result() == Expected(RELEASED)


def test_failed_flush_releases_next_without_a_retry() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()
    bench.end()

    assert bench.flushed(was_delivered=False) == Expected(RELEASED)


def test_hanging_flush_is_not_waited_for_beyond_the_budget() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()
    bench.end()

    assert bench.after(BUDGET_S - 0.1) == Expected(WITHHELD, wake_s=0.1)
    assert bench.after(0.1) == Expected(RELEASED)


@pytest.mark.parametrize(("later_s", "may_call_next"), [(29.0, RELEASED), (31.0, WITHHELD)])
def test_endpoint_too_slow_for_the_budget_is_not_waited_for_again_for_a_while(
    later_s: float, may_call_next: bool
) -> None:
    bench = Bench()
    bench.invoke("a")
    bench.receive()
    bench.end("a")
    bench.after(BUDGET_S)
    bench.flushed()

    bench.clock.advance(later_s)

    assert bench.invoke("b").may_call_next is may_call_next


def test_telemetry_for_a_slow_endpoint_is_flushed_at_the_interval() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.receive()
    bench.end("a")
    bench.after(BUDGET_S)
    bench.flushed()
    bench.receive()
    bench.clock.advance(INTERVAL_S)

    assert bench.invoke("b") == Expected(RELEASED, flush_s=FLUSH_LIMIT_S)


def test_budget_counts_from_when_the_end_was_observed() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()

    assert bench.end(ago_s=0.4) == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=0.1)


@pytest.mark.parametrize("ago_s", [0.46, 0.5, 3_600])
def test_no_flush_begins_if_too_little_of_the_budget_is_left(ago_s: float) -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()

    assert bench.end(ago_s=ago_s) == Expected(RELEASED)


def test_flush_at_the_end_is_not_waited_for_beyond_the_invocations_deadline() -> None:
    bench = Bench()
    bench.invoke(timeout_s=3.0)
    bench.receive()
    bench.after(2.5)

    assert bench.end() == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=0.5)
    assert bench.after(0.5) == Expected(RELEASED)


def test_missing_end_delays_one_invocation_only() -> None:
    bench = Bench()
    bench.invoke("a", timeout_s=3.0)

    assert bench.after(3.0) == Expected(RELEASED)
    assert bench.invoke("b") == Expected(RELEASED)
    bench.end("b")
    assert bench.invoke("c") == Expected(WITHHELD, wake_s=TIMEOUT_S)


def test_next_is_not_withheld_in_an_invocation_shorter_than_the_margin() -> None:
    assert Bench().invoke(timeout_s=0.0) == Expected(RELEASED)


def test_long_invocation_is_flushed_while_it_runs() -> None:
    bench = Bench()
    bench.invoke()
    bench.after(1)
    bench.receive()

    assert bench.after(INTERVAL_S - 1) == Expected(WITHHELD, wake_s=1)
    assert bench.after(1) == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=FLUSH_LIMIT_S)
    assert bench.flushed() == Expected(WITHHELD, wake_s=TIMEOUT_S - INTERVAL_S - 1)
    assert bench.receive() == Expected(WITHHELD, wake_s=INTERVAL_S)


def test_failed_flush_during_an_invocation_is_repeated_after_the_interval() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()
    bench.after(INTERVAL_S)

    assert bench.flushed(was_delivered=False) == Expected(WITHHELD, wake_s=INTERVAL_S)


def test_end_during_a_flush_is_followed_by_another_flush_within_the_budget() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()
    bench.after(INTERVAL_S)
    bench.after(0.2)

    assert bench.end() == Expected(WITHHELD, wake_s=BUDGET_S)
    bench.policy.flushed(was_delivered=True)
    assert bench.after(0.1) == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=0.4)
    assert bench.flushed() == Expected(RELEASED)


def test_running_flush_is_not_waited_for_beyond_the_budget_of_the_end() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()
    bench.after(INTERVAL_S)

    assert bench.end(ago_s=0.4) == Expected(WITHHELD, wake_s=0.1)
    assert bench.after(0.1) == Expected(RELEASED)


def test_telemetry_of_an_earlier_invocation_is_flushed_at_the_end_of_the_next() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.end("a")
    assert bench.receive() == Expected(RELEASED)
    bench.after(3_600)

    assert bench.invoke("b") == Expected(WITHHELD, wake_s=INTERVAL_S)
    assert bench.end("b") == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=BUDGET_S)


# Flushing during later invocations: `every`, and `auto` while invocations are close together.


def test_every_releases_next_at_once() -> None:
    assert Bench(Mode.EVERY).invoke() == Expected(RELEASED)


def test_every_flushes_after_the_interval_and_waits_for_that_flush_only() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke("a")
    bench.end("a")
    bench.receive()
    bench.clock.advance(INTERVAL_S)

    assert bench.invoke("b") == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=BUDGET_S)
    assert bench.flushed() == Expected(RELEASED)
    bench.receive()
    assert bench.invoke("c") == Expected(RELEASED, wake_s=INTERVAL_S)


def test_every_waits_for_a_flush_no_longer_than_the_budget() -> None:
    bench = Bench(Mode.EVERY)
    bench.receive()
    bench.clock.advance(INTERVAL_S)
    bench.invoke()

    assert bench.after(BUDGET_S) == Expected(RELEASED)


def test_every_flushes_during_a_long_invocation() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke()

    assert bench.receive() == Expected(RELEASED, wake_s=INTERVAL_S)
    assert bench.after(INTERVAL_S) == Expected(RELEASED, flush_s=FLUSH_LIMIT_S)


def test_interval_includes_the_time_in_a_frozen_sandbox() -> None:
    bench = Bench(Mode.EVERY)
    bench.receive()
    bench.clock.jump_wall(INTERVAL_S)

    assert bench.invoke() == Expected(WITHHELD, flush_s=FLUSH_LIMIT_S, wake_s=BUDGET_S)


def test_no_flush_begins_if_the_sandbox_is_about_to_freeze() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke()
    bench.receive()
    bench.end()

    assert bench.after(INTERVAL_S) == Expected(RELEASED)


def test_auto_does_not_wait_for_the_end_while_invocations_are_close_together() -> None:
    bench = Bench(Mode.AUTO)
    bench.make_busy()

    assert bench.invoke("x") == Expected(RELEASED)


def test_auto_waits_for_the_end_again_once_invocations_are_rare() -> None:
    bench = Bench(Mode.AUTO)
    bench.make_busy()
    bench.clock.advance(31)

    assert bench.invoke("x") == Expected(WITHHELD, wake_s=TIMEOUT_S)


@pytest.mark.parametrize("mode", [Mode.END, Mode.EVERY])
def test_other_modes_do_not_depend_on_the_invocation_rate(mode: Mode) -> None:
    bench = Bench(mode)
    bench.make_busy()

    assert bench.invoke("x").may_call_next is (RELEASED if mode is Mode.EVERY else WITHHELD)


# Conditions under which `next` is not withheld.


def assert_next_is_not_withheld(bench: Bench) -> None:
    bench.receive()
    assert bench.invoke().may_call_next is RELEASED


def test_next_is_not_withheld_without_telemetry() -> None:
    assert_next_is_not_withheld(Bench(has_runtime_done=False))


def test_next_is_released_if_telemetry_turns_out_to_be_unavailable() -> None:
    bench = Bench()
    bench.invoke()

    bench.policy.telemetry_unavailable()

    assert bench.result() == Expected(RELEASED)
    assert_next_is_not_withheld(bench)


def test_next_is_not_withheld_if_the_budget_is_zero() -> None:
    assert_next_is_not_withheld(Bench(budget_s=0.0))


def test_next_is_not_withheld_in_shutdown_mode() -> None:
    assert_next_is_not_withheld(Bench(Mode.SHUTDOWN))


def test_open_circuit_releases_next_and_is_retried_at_the_interval() -> None:
    bench = Bench()
    bench.is_circuit_open = True
    bench.receive()
    bench.clock.advance(INTERVAL_S)

    assert bench.invoke() == Expected(RELEASED, flush_s=FLUSH_LIMIT_S)
    assert bench.flushed(was_delivered=False) == Expected(RELEASED, wake_s=INTERVAL_S)
    assert_next_is_not_withheld(bench)


def test_circuit_that_opens_releases_next() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()
    bench.end()

    bench.is_circuit_open = True

    assert bench.result() == Expected(RELEASED)


@pytest.mark.parametrize(
    ("is_circuit_open", "is_nearly_full", "should_spool"),
    [(False, False, False), (False, True, False), (True, False, False), (True, True, True)],
)
def test_nearly_full_outbox_is_spooled_while_the_circuit_is_open(
    is_circuit_open: bool, is_nearly_full: bool, should_spool: bool
) -> None:
    bench = Bench()
    bench.is_circuit_open = is_circuit_open
    bench.is_nearly_full = is_nearly_full

    assert bench.step().should_spool is should_spool


def test_managed_instances_flush_at_the_interval_only() -> None:
    bench = Bench(is_managed=True)

    assert bench.result() == Expected(RELEASED)
    assert bench.receive() == Expected(RELEASED, wake_s=INTERVAL_S)
    assert bench.after(INTERVAL_S) == Expected(RELEASED, flush_s=FLUSH_LIMIT_S)
    assert bench.flushed() == Expected(RELEASED)


def test_shutdown_mode_flushes_only_a_nearly_full_outbox() -> None:
    bench = Bench(Mode.SHUTDOWN)
    bench.invoke()
    bench.receive()
    assert bench.after(3_600) == Expected(RELEASED)

    bench.is_nearly_full = True

    assert bench.result() == Expected(RELEASED, flush_s=FLUSH_LIMIT_S)


def test_nearly_full_outbox_is_flushed_again_a_second_after_a_failure() -> None:
    bench = Bench(Mode.SHUTDOWN)
    bench.invoke()
    bench.is_nearly_full = True
    bench.receive()

    assert bench.flushed(was_delivered=False) == Expected(RELEASED, wake_s=1.0)
    assert bench.after(1.0) == Expected(RELEASED, flush_s=FLUSH_LIMIT_S)


def test_nearly_full_outbox_is_flushed_before_the_interval_has_passed() -> None:
    bench = Bench(Mode.EVERY)
    bench.invoke()
    bench.is_nearly_full = True

    assert bench.receive() == Expected(RELEASED, flush_s=FLUSH_LIMIT_S)


# After SHUTDOWN.


def test_drain_flushes_at_once_and_leaves_time_to_spool() -> None:
    bench = Bench()
    bench.receive()

    assert bench.shut_down() == Expected(WITHHELD, flush_s=2.0 - SPOOL_RESERVE_S)


def test_drain_with_nothing_unsent_sends_what_shutdown_ends() -> None:
    bench = Bench()

    assert bench.shut_down() == Expected(WITHHELD, flush_s=2.0 - SPOOL_RESERVE_S)
    bench.flushed()
    assert bench.step().is_over


def test_drain_ends_what_is_open_when_no_report_is_expected() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.policy.shutting_down(Deadline.after(2.0, bench.clock))

    steps = [bench.step()]
    bench.has_open_phase = True
    bench.policy.reported("a")
    steps.append(bench.step())
    bench.has_open_phase = False
    steps += [bench.step(), bench.step()]

    assert [step.finishes for step in steps] == [False, False, True, False]


def test_drain_waits_for_the_last_report_and_flushes_it() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.receive()
    bench.end("a")
    bench.flushed()

    assert bench.shut_down() == Expected(WITHHELD, wake_s=REPORT_WAIT_S)
    bench.policy.reported("a")
    assert bench.receive() == Expected(WITHHELD, flush_s=2.0 - SPOOL_RESERVE_S)
    bench.flushed()
    assert bench.step().is_over


def test_drain_flushes_before_it_waits_for_the_last_report() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.receive()

    assert bench.shut_down().flush_s == 2.0 - SPOOL_RESERVE_S
    assert bench.flushed() == Expected(WITHHELD, wake_s=REPORT_WAIT_S)
    assert bench.receive() == Expected(WITHHELD, wake_s=REPORT_WAIT_S)
    assert bench.after(REPORT_WAIT_S) == Expected(WITHHELD, flush_s=round(2.0 - SPOOL_RESERVE_S - REPORT_WAIT_S, 6))
    assert bench.flushed() == Expected(WITHHELD)
    assert bench.step().is_over


def test_missing_report_is_waited_for_briefly() -> None:
    bench = Bench()
    bench.invoke("a")
    bench.shut_down()
    bench.clock.advance(REPORT_WAIT_S)

    step = bench.step()
    assert (step.finishes, step.flush is not None) == (True, True)
    bench.flushed()
    assert bench.step().is_over


def test_failed_drain_is_over() -> None:
    bench = Bench()
    bench.receive()
    bench.shut_down()
    bench.flushed(was_delivered=False)

    assert bench.step().is_over


def test_drain_flushes_even_if_the_last_flush_failed() -> None:
    bench = Bench()
    bench.invoke()
    bench.receive()
    bench.end()
    bench.flushed(was_delivered=False)

    assert bench.shut_down().flush_s == 2.0 - SPOOL_RESERVE_S


def test_drain_is_not_over_while_its_flush_is_running() -> None:
    bench = Bench()
    bench.receive()
    bench.shut_down()

    assert bench.result() == Expected(WITHHELD, wake_s=round(2.0 - SPOOL_RESERVE_S + RESULT_WAIT_S, 6))
    assert not bench.step().is_over


def test_drain_is_over_if_its_flush_does_not_finish_by_its_deadline() -> None:
    bench = Bench()
    bench.receive()
    bench.shut_down()

    bench.clock.advance(2.0 - SPOOL_RESERVE_S + RESULT_WAIT_S)

    assert bench.step().is_over


def test_drain_does_not_flush_if_there_is_only_time_to_spool() -> None:
    bench = Bench()
    bench.receive()
    bench.shut_down(SPOOL_RESERVE_S)

    assert bench.step().is_over


def test_managed_instance_waits_for_the_last_reports_of_all_its_invocations() -> None:
    assert Bench(is_managed=True).shut_down() == Expected(WITHHELD, wake_s=REPORT_WAIT_S)


def test_without_telemetry_no_report_is_waited_for() -> None:
    bench = Bench(has_runtime_done=False)
    bench.invoke()

    assert bench.shut_down().flush_s == 2.0 - SPOOL_RESERVE_S
    bench.flushed()
    assert bench.step().is_over


# Events in any order.

EVENTS = st.sampled_from(
    ["invoke", "end", "report", "early", "receive", "flushed", "failed", "open", "close", "full", "ahead", "back"]
)
STORY = st.lists(st.tuples(EVENTS, st.floats(0, 12)), max_size=60)


class Story:
    """Lets events happen in any order, and checks the guarantees after each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.number = 0
        self.is_invoked = False
        self.release_at_s = 0.0
        self.ended_at_s = float("inf")
        self.flush: Deadline | None = None

    def happen(self, event: str, seconds: float) -> None:
        self._let_time_pass(seconds)
        self._report(event)
        self.check()

    def _let_time_pass(self, seconds: float) -> None:
        """Like the worker, call `step` whenever the policy asks for it."""
        end_s = self.bench.clock.monotonic_s() + seconds
        while (left_s := end_s - self.bench.clock.monotonic_s()) > 0:
            wake_s = self.check().wake_in_s
            self.bench.clock.advance(left_s if wake_s is None else min(left_s, wake_s + 1e-6))

    def _report(self, event: str) -> None:
        bench, request_id = self.bench, str(self.number)
        match event:
            case "invoke" if not self.is_invoked:
                self.number += 1
                self.is_invoked = True
                self.ended_at_s = float("inf")
                self.release_at_s = bench.clock.monotonic_s() + 8.0
                bench.policy.invoked(str(self.number), Deadline.after(8.0, bench.clock))
            case "end" | "report":
                self.ended_at_s = min(self.ended_at_s, bench.clock.monotonic_s())
                if event == "end":
                    bench.policy.runtime_done(request_id, bench.clock.unix_ns())
                else:
                    bench.policy.reported(request_id)
            case "early":
                bench.policy.runtime_done(str(self.number + 1), bench.clock.unix_ns())
            case "receive":
                bench.has_unsent = True
            case "flushed" | "failed" if self.flush:
                self.flush = None
                bench.is_nearly_full = bench.is_nearly_full and event == "failed"
                bench.has_unsent = bench.has_unsent and event == "failed"
                bench.policy.flushed(was_delivered=event == "flushed")
            case "full":
                bench.is_nearly_full = bench.has_unsent = True
            case "ahead" | "back":
                bench.clock.jump_wall(3_600 if event == "ahead" else -3_600)
            case "open" | "close":
                bench.is_circuit_open = event == "open"

    def check(self) -> Step:
        step = self.bench.step()
        now_s = self.bench.clock.monotonic_s()
        if self.is_invoked and not step.may_call_next:
            assert now_s <= self.release_at_s + 1e-5, "never past the deadline less the margin"
            assert now_s <= self.ended_at_s + BUDGET_S + 1e-5, "never longer than the budget after the end"
        self.is_invoked = self.is_invoked and not step.may_call_next
        if step.flush:
            assert not self.flush, "never two at a time"
            assert 0 < step.flush.left_s() <= FLUSH_LIMIT_S + 1e-5
            self.flush = step.flush
        assert step.wake_in_s is None or step.wake_in_s > 0, "never a busy loop"
        assert (step.wake_in_s or 0) <= FLUSH_LIMIT_S + 1e-5, "never for as long as the wall clock was set back"
        return step


@given(st.sampled_from(Mode), st.booleans(), STORY)
def test_next_is_never_withheld_longer_than_promised(
    mode: Mode, has_runtime_done: bool, story: list[tuple[str, float]]
) -> None:
    story_run = Story(Bench(mode, has_runtime_done=has_runtime_done))

    for event, seconds in story:
        story_run.happen(event, seconds)


@given(STORY)
def test_next_is_never_withheld_without_telemetry(story: list[tuple[str, float]]) -> None:
    bench = Bench(has_runtime_done=False)
    story_run = Story(bench)

    for event, seconds in story:
        story_run.happen(event, seconds)
        assert bench.step().may_call_next


@given(STORY, st.booleans(), st.booleans())
def test_drain_ends_in_time_after_any_events(story: list[tuple[str, float]], was_delivered: bool, hangs: bool) -> None:
    bench = Bench(Mode.AUTO)
    story_run = Story(bench)
    for event, seconds in story:
        story_run.happen(event, seconds)
    if story_run.flush:
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
    assert until.left_s() >= SPOOL_RESERVE_S - 1e-5


def test_modes_are_named_as_in_the_setting() -> None:
    assert [mode.value for mode in Mode] == ["auto", "end", "every", "shutdown"]
