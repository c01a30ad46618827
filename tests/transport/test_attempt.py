import pytest

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.transport.attempt import Attempt, TimeIsUpError
from tests.support.fake_clock import FakeClock


def attempt(clock: FakeClock, seconds: float) -> Attempt:
    return Attempt(Deadline.after(seconds, clock), Deadline.left_s)


def test_it_waits_in_slices_and_never_beyond_its_deadline() -> None:
    clock = FakeClock()
    trying = attempt(clock, 0.6)

    for seconds in (0.25, 0.25, 0.1):
        assert trying.slice_s() == pytest.approx(seconds)
        clock.advance(seconds)

    clock.advance(0.001)
    with pytest.raises(TimeIsUpError, match="no response in time"):
        trying.slice_s()


def test_before_it_is_connected_that_is_what_there_was_no_time_for() -> None:
    trying = attempt(FakeClock(), 0)
    trying.has_connected = False

    with pytest.raises(TimeIsUpError, match="no connection in time"):
        trying.slice_s()


def test_a_share_of_the_time() -> None:
    clock = FakeClock()
    trying = attempt(clock, 0.3)

    assert trying.share(3).slice_s() == pytest.approx(0.1)
    assert trying.share(1).slice_s() == pytest.approx(0.25)
    assert not trying.share(1).has_connected


def test_time_may_be_taken_while_it_is_under_way() -> None:
    clock = FakeClock()
    left_s = [10.0]
    trying = Attempt(Deadline.after(10, clock), lambda _: left_s[0])

    left_s[0] = 0.0

    with pytest.raises(TimeIsUpError):
        trying.slice_s()


def test_time_in_the_freezer_is_not_counted() -> None:
    clock = FakeClock()
    trying = attempt(clock, 10.0)
    trying.slice_s()

    clock.advance(3_600)

    for _ in range(8):
        assert trying.slice_s() == pytest.approx(0.25)
        clock.advance(0.25)
    clock.advance(0.001)
    with pytest.raises(TimeIsUpError):
        trying.slice_s()
