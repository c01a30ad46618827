import time

from telemetry_forwarder.clock import Clock, Deadline, Moment
from tests.support.fake_clock import FakeClock


def test_wall_time_is_that_of_the_machine() -> None:
    before, now, after = time.time_ns(), Clock().unix_ns(), time.time_ns()

    assert before <= now <= after


def test_monotonic_time_advances_during_sleep() -> None:
    clock = Clock()

    before = clock.monotonic_s()
    clock.sleep(0.001)

    assert clock.monotonic_s() - before >= 0.001


def test_time_left_of_a_deadline_is_never_negative() -> None:
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)

    left_s = []
    for _ in range(4):
        left_s.append((deadline.left_s(), deadline.is_over()))
        clock.advance(0.75)

    assert left_s == [(2.0, False), (1.25, False), (0.5, False), (0.0, True)]


def test_jump_of_the_wall_clock_does_not_move_a_deadline() -> None:
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)

    clock.jump_wall(3_600)

    assert deadline.left_s() == 2.0


def test_margin_moves_a_deadline_earlier() -> None:
    deadline = Deadline.after(2.0, FakeClock())

    assert (deadline.less(0.5).left_s(), deadline.less(3.0).is_over()) == (1.5, True)
    assert deadline.left_s() == 2.0


def test_within_returns_the_earlier_and_not_before_the_later_deadline() -> None:
    deadline = Deadline.after(2.0, FakeClock())

    assert (deadline.within(1.0).left_s(), deadline.within(3.0).left_s()) == (1.0, 2.0)
    assert (deadline.not_before(1.0).left_s(), deadline.not_before(3.0).left_s()) == (2.0, 3.0)


def test_time_that_was_just_read_is_not_read_again() -> None:
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)
    now_s = clock.monotonic_s() + 1.5

    assert (deadline.left_s(now_s), deadline.is_over(now_s), deadline.is_over(now_s + 0.5)) == (0.5, False, True)


def test_deadline_of_nan_is_over() -> None:
    assert Deadline.after(float("nan"), FakeClock()).is_over()


def test_elapsed_time_ignores_a_wall_clock_that_is_set_back() -> None:
    clock = FakeClock()
    earlier = Moment(clock)

    clock.advance(5)
    clock.jump_wall(-3_600)

    assert Moment(clock).since_s(earlier) == 5


def test_elapsed_time_is_the_longer_one_of_both_clocks() -> None:
    clock = FakeClock()
    earlier = Moment(clock)

    clock.advance(5)
    clock.jump_wall(3_600)

    assert Moment(clock).since_s(earlier) == 3_605


def test_elapsed_time_is_never_negative() -> None:
    clock = FakeClock()
    later = Moment(clock)
    clock.advance(5)

    assert later.since_s(Moment(clock)) == 0.0
