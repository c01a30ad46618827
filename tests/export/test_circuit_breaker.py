import threading

import pytest

from telemetry_forwarder.export.circuit_breaker import CircuitBreaker, backoff_s
from tests.support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def circuit_breaker(clock: FakeClock) -> CircuitBreaker:
    """Return one without jitter: the random number is always the largest."""
    return CircuitBreaker("https://h", clock, lambda: 1.0)


def test_new_circuit_breaker_is_closed(clock: FakeClock) -> None:
    new = circuit_breaker(clock)

    assert (new.is_open, new.hold_s()) == (False, 0.0)


def test_failure_opens_it(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)

    assert failing.failed()
    assert (failing.is_open, failing.hold_s()) == (True, 1.0)


def test_success_of_a_closed_one_changes_nothing(clock: FakeClock) -> None:
    working = circuit_breaker(clock)

    assert not working.succeeded()
    assert not working.is_open


def test_each_failed_probe_doubles_the_hold_time_up_to_a_minute(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)
    holds = []
    for _ in range(9):
        failing.failed()
        holds.append(failing.hold_s())
        clock.advance(failing.hold_s())

    assert holds == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])
    assert failing.hold_s() == 0.0


def test_only_the_failure_that_opens_it_is_reported(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)

    opened = []
    for _ in range(3):
        opened.append(failing.failed())
        clock.advance(100)

    assert opened == [True, False, False]


def test_concurrent_failures_count_once(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)

    assert [failing.failed(), failing.failed(), failing.failed()] == [True, False, False]
    assert failing.hold_s() == 1.0


def test_success_closes_it_and_resets_the_hold_time(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)
    failing.failed()
    clock.advance(1)
    failing.failed()

    assert [failing.succeeded(), failing.succeeded()] == [True, False]
    assert (failing.is_open, failing.hold_s()) == (False, 0.0)

    failing.failed()
    assert failing.hold_s() == 1.0


def test_it_holds_as_long_as_the_endpoint_requests(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)

    assert failing.failed(90.0)
    assert failing.hold_s() == 90.0

    failing.failed(120.0)
    assert failing.hold_s() == 120.0


def test_freeze_that_only_the_wall_clock_counts_shortens_the_hold(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)
    failing.failed()

    clock.jump_wall(10)

    assert failing.hold_s() == 0.0


def test_wall_clock_that_jumps_back_does_not_prolong_the_hold(clock: FakeClock) -> None:
    failing = circuit_breaker(clock)
    failing.failed()

    clock.jump_wall(-1_000)
    clock.advance(1)

    assert failing.hold_s() == 0.0


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 2.0), (0.5, 3.0), (1.0, 4.0)])
def test_jitter_shortens_by_up_to_half(random: float, seconds: float) -> None:
    assert backoff_s(1.0, longest_s=60.0, doublings=2, random=lambda: random) == seconds


@pytest.mark.parametrize("doublings", [6, 5_000])
def test_backoff_is_limited(doublings: int) -> None:
    assert backoff_s(1.0, longest_s=60.0, doublings=doublings, random=lambda: 1.0) == 60.0


def test_concurrent_failures_open_it_once() -> None:
    failing = CircuitBreaker("https://h", FakeClock(), lambda: 1.0)
    opened: list[bool] = []
    threads = [threading.Thread(target=lambda: opened.append(failing.failed())) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(opened) == [False] * 7 + [True]
