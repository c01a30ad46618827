import pytest

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import FailureKind
from tests.support.fake_clock import FakeClock
from tests.support.requests import raises


def attempt(clock: FakeClock, seconds: float) -> Attempt:
    return Attempt(Deadline.after(seconds, clock), Deadline.left_s)


def test_slices_end_at_the_deadline() -> None:
    clock = FakeClock()
    trying = attempt(clock, 0.6)

    for seconds in (0.25, 0.25, 0.1):
        assert trying.slice_s() == pytest.approx(seconds)
        clock.advance(seconds)

    clock.advance(0.001)
    with raises(FailureKind.TIMED_OUT, match="no response in time"):
        trying.slice_s()


def test_error_before_the_connection_names_the_connection() -> None:
    trying = attempt(FakeClock(), 0)
    trying.is_connecting = True

    with raises(FailureKind.UNREACHABLE, match="no connection in time"):
        trying.slice_s()


def test_time_left_may_shrink_during_the_attempt() -> None:
    clock = FakeClock()
    left_s = [10.0]
    trying = Attempt(Deadline.after(10, clock), lambda _: left_s[0])

    left_s[0] = 0.0

    with raises(FailureKind.TIMED_OUT):
        trying.slice_s()


def test_time_of_a_freeze_does_not_count() -> None:
    clock = FakeClock()
    trying = attempt(clock, 10.0)
    trying.slice_s()

    clock.advance(3_600)

    for _ in range(8):
        assert trying.slice_s() == pytest.approx(0.25)
        clock.advance(0.25)
    clock.advance(0.001)
    with raises(FailureKind.TIMED_OUT):
        trying.slice_s()


@pytest.mark.parametrize("awake_s", [0.01, 0.2])
def test_request_that_is_frozen_again_and_again_ends_after_three_freezes(awake_s: float) -> None:
    clock = FakeClock()
    trying = attempt(clock, 10.0)
    for _ in range(2):
        trying.slice_s()
        clock.advance(awake_s)
        trying.slice_s()
        clock.advance(60)
    trying.slice_s()
    clock.advance(60)

    with raises(FailureKind.TIMED_OUT):
        trying.slice_s()
