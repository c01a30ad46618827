import pytest

from telemetry_forwarder.clock import Deadline, Moment
from telemetry_forwarder.flushing.flush_tracker import FlushTracker
from tests.support.fake_clock import FakeClock


def running(clock: FakeClock) -> FlushTracker:
    tracker = FlushTracker()
    tracker.deadline = Deadline.after(1.0, clock)
    return tracker


def test_new_tracker_knows_no_flush() -> None:
    tracker, now = FlushTracker(), Moment(FakeClock())

    assert (tracker.deadline, tracker.finished_at, tracker.was_delivered) == (None, None, True)
    assert (tracker.is_within_deadline(now), tracker.is_slow(now), tracker.retry_in_s(now)) == (False, False, 0)


@pytest.mark.parametrize(("after_s", "is_within"), [(0.9, True), (1.0, False)])
def test_flush_is_waited_for_until_its_deadline(after_s: float, is_within: bool) -> None:
    clock = FakeClock()
    tracker = running(clock)

    clock.advance(after_s)

    assert tracker.is_within_deadline(Moment(clock)) is is_within
    assert tracker.deadline is not None


def test_flush_that_finished_is_not_running() -> None:
    clock = FakeClock()
    tracker = running(clock)
    now = Moment(clock)

    tracker.finished(now, was_delivered=True)

    assert (tracker.deadline, tracker.finished_at) == (None, now)


@pytest.mark.parametrize(
    ("was_delivered", "after_s", "retry_s"), [(True, 0, 0.0), (False, 0, 1.0), (False, 0.4, 0.6), (False, 5, 0.0)]
)
def test_failed_flush_is_repeated_after_a_second(was_delivered: bool, after_s: float, retry_s: float) -> None:
    clock, tracker = FakeClock(), FlushTracker()
    tracker.finished(Moment(clock), was_delivered=was_delivered)

    clock.advance(after_s)

    assert tracker.retry_in_s(Moment(clock)) == pytest.approx(retry_s)


@pytest.mark.parametrize(("after_s", "is_slow"), [(0, True), (29.9, True), (30, False)])
def test_endpoint_counts_as_slow_for_a_while_after_an_overrun(after_s: float, is_slow: bool) -> None:
    clock, tracker = FakeClock(), FlushTracker()
    tracker.overran_at = Moment(clock)

    clock.advance(after_s)

    assert tracker.is_slow(Moment(clock)) is is_slow
