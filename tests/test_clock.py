import time

from telemetry_forwarder.clock import Clock, Deadline
from tests.support.fake_clock import FakeClock


def test_wall_time_is_the_machine_s() -> None:
    before, now, after = time.time_ns(), Clock().unix_ns(), time.time_ns()

    assert before <= now <= after


def test_measuring_time_never_goes_back() -> None:
    clock = Clock()

    before = clock.monotonic_s()
    clock.sleep(0.001)

    assert clock.monotonic_s() - before >= 0.001


def test_deadline_tells_what_is_left_and_never_less_than_nothing() -> None:
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)

    left_s = []
    for _ in range(4):
        left_s.append((deadline.left_s(), deadline.is_over()))
        clock.advance(0.75)

    assert left_s == [(2.0, False), (1.25, False), (0.5, False), (0.0, True)]


def test_moment_that_lambda_names_is_judged_by_the_wall_clock() -> None:
    clock = FakeClock(unix_ns=1_790_000_000_000_000_000)

    assert Deadline.at_unix_ms(1_790_000_003_000, clock).left_s() == 3.0
    assert Deadline.at_unix_ms(1_789_999_999_000, clock).is_over()


def test_jump_of_the_wall_clock_moves_no_deadline() -> None:
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)

    clock.jump_wall(3_600)

    assert deadline.left_s() == 2.0


def test_margin_is_taken_off_the_end() -> None:
    deadline = Deadline.after(2.0, FakeClock())

    assert (deadline.less(0.5).left_s(), deadline.less(3.0).is_over()) == (1.5, True)
    assert deadline.left_s() == 2.0


def test_sooner_of_two_limits_counts() -> None:
    deadline = Deadline.after(2.0, FakeClock())

    assert (deadline.within(1.0).left_s(), deadline.within(3.0).left_s()) == (1.0, 2.0)
