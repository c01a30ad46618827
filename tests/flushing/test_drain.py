import pytest

from telemetry_forwarder.clock import Deadline, Moment
from telemetry_forwarder.flushing.drain import Drain
from telemetry_forwarder.flushing.flush_tracker import FlushTracker
from telemetry_forwarder.flushing.step import Step
from tests.support.fake_clock import FakeClock

UNTIL_S = 2.0
SPOOL_RESERVE_S = 0.3
REPORT_WAIT_S = 0.15
RESULT_WAIT_S = 0.1
OVER = Step(may_call_next=False, is_over=True)
ENDED_AND_OVER = Step(may_call_next=False, finishes=True, is_over=True)


class Bench:
    def __init__(self, until_s: float = UNTIL_S) -> None:
        self.clock = FakeClock()
        self.tracker = FlushTracker()
        self.drain = Drain(Deadline.after(until_s, self.clock), spool_reserve_s=SPOOL_RESERVE_S)

    def step(self, *, has_unsent: bool = True, awaits_report: bool = False, has_backlog: bool = False) -> Step:
        return self.drain.step(
            self.tracker, has_unsent=has_unsent, awaits_report=awaits_report, has_backlog=has_backlog
        )

    def finish(self, *, was_delivered: bool = True) -> None:
        self.tracker.finished(Moment(self.clock), was_delivered=was_delivered)


def test_drain_flushes_within_the_deadline_less_the_time_to_spool() -> None:
    step = Bench().step()

    assert step.flush
    assert step.flush.left_s() == pytest.approx(UNTIL_S - SPOOL_RESERVE_S)
    assert not step.is_over


def test_drain_waits_for_the_result_of_its_flush() -> None:
    bench = Bench()
    bench.step()

    assert bench.step().wake_in_s == pytest.approx(UNTIL_S - SPOOL_RESERVE_S + RESULT_WAIT_S)


def test_drain_is_over_if_its_flush_reports_no_result() -> None:
    bench = Bench()
    bench.step()

    bench.clock.advance(UNTIL_S - SPOOL_RESERVE_S + RESULT_WAIT_S)

    assert bench.step() == OVER


def test_drain_without_unsent_telemetry_sends_what_is_ended() -> None:
    bench = Bench()

    step = bench.step(has_unsent=False)
    bench.finish()

    assert (step.finishes, step.flush is not None) == (True, True)
    assert bench.step(has_unsent=False) == OVER


def test_drain_waits_for_the_report_and_flushes_it() -> None:
    bench = Bench()
    first = bench.step(awaits_report=True)
    bench.finish()

    waiting = bench.step(awaits_report=True)
    second = bench.step()
    bench.finish()

    assert (first.finishes, waiting.finishes, second.finishes) == (False, False, True)
    assert (first.flush is not None, waiting.flush, second.flush is not None) == (True, None, True)
    assert waiting.wake_in_s == pytest.approx(REPORT_WAIT_S)
    assert bench.step(has_unsent=False) == OVER


def test_what_is_ended_while_a_flush_is_running_is_sent_with_it() -> None:
    bench = Bench()
    bench.step(awaits_report=True)
    assert bench.step(awaits_report=True).wake_in_s == pytest.approx(REPORT_WAIT_S)

    bench.clock.advance(REPORT_WAIT_S)
    step = bench.step(awaits_report=True)

    assert (step.finishes, step.flush) == (True, None)
    assert step.wake_in_s == pytest.approx(UNTIL_S - SPOOL_RESERVE_S + RESULT_WAIT_S - REPORT_WAIT_S)


def test_drain_does_not_wait_for_the_report_beyond_its_time() -> None:
    bench = Bench()
    bench.clock.advance(REPORT_WAIT_S)

    step = bench.step(has_unsent=False, awaits_report=True)

    assert (step.finishes, step.flush is not None) == (True, True)


def test_nothing_is_ended_that_a_pending_post_may_end() -> None:
    bench = Bench()
    bench.clock.advance(REPORT_WAIT_S)

    steps = [bench.step(has_backlog=True), bench.step(has_backlog=True), bench.step(), bench.step()]

    assert [step.finishes for step in steps] == [False, False, True, False]


def test_what_is_unsent_after_a_flush_is_sent_with_another_one() -> None:
    bench = Bench()
    flushes = 0

    while not (step := bench.step(has_unsent=flushes < 3)).is_over:
        assert step.flush
        flushes += 1
        bench.finish()

    assert flushes == 3


def test_failed_flush_is_not_followed_by_another_one() -> None:
    bench = Bench()
    bench.step()
    bench.finish(was_delivered=False)

    assert bench.step() == OVER


def test_drain_does_not_flush_if_there_is_only_time_to_spool() -> None:
    bench = Bench(SPOOL_RESERVE_S)

    assert [bench.step(), bench.step()] == [ENDED_AND_OVER, OVER]
