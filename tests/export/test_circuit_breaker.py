import threading

import pytest

from telemetry_forwarder.export.circuit_breaker import CircuitBreaker, backoff_s
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock

OPENED = "WARN https://h does not accept telemetry: refused; telemetry is held, next attempt in 1.0 s"
CLOSED = "INFO https://h responds again"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock, captured: CapturedLog) -> CircuitBreaker:
    """A circuit breaker without jitter: the random number is always the largest."""
    return CircuitBreaker("https://h", clock=clock, log=captured.diagnostics(clock), random=lambda: 1.0)


def test_new_circuit_breaker_is_closed(breaker: CircuitBreaker) -> None:
    assert (breaker.is_open, breaker.open_for_s()) == (False, 0.0)


def test_success_of_a_closed_one_changes_nothing(breaker: CircuitBreaker, captured: CapturedLog) -> None:
    breaker.succeeded()

    assert not breaker.is_open
    assert captured.lines == []


def test_failure_opens_it(breaker: CircuitBreaker, captured: CapturedLog) -> None:
    breaker.failed("refused")

    assert (breaker.is_open, breaker.open_for_s()) == (True, 1.0)
    assert captured.lines == [OPENED]


def test_each_failed_probe_doubles_the_open_time_up_to_a_minute(breaker: CircuitBreaker, clock: FakeClock) -> None:
    open_times_s = []
    for _ in range(9):
        breaker.failed("refused")
        open_times_s.append(breaker.open_for_s())
        clock.advance(breaker.open_for_s())

    assert open_times_s == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])
    assert breaker.open_for_s() == 0.0


def test_only_the_failure_that_opens_it_is_logged(
    breaker: CircuitBreaker, clock: FakeClock, captured: CapturedLog
) -> None:
    for _ in range(3):
        breaker.failed("refused")
        clock.advance(100)

    assert captured.lines == [OPENED]


def test_concurrent_failures_count_once(breaker: CircuitBreaker, captured: CapturedLog) -> None:
    for _ in range(3):
        breaker.failed("refused")

    assert breaker.open_for_s() == 1.0
    assert captured.lines == [OPENED]


def test_success_closes_it_and_resets_the_open_time(
    breaker: CircuitBreaker, clock: FakeClock, captured: CapturedLog
) -> None:
    breaker.failed("refused")
    clock.advance(1)
    breaker.failed("refused")

    breaker.succeeded()
    breaker.succeeded()

    assert (breaker.is_open, breaker.open_for_s()) == (False, 0.0)
    assert captured.lines == [OPENED, CLOSED]

    breaker.failed("refused")
    assert breaker.open_for_s() == 1.0


@pytest.mark.parametrize(
    ("requested_s", "random", "open_s"),
    [(90.0, 0.0, 90.0), (90.0, 1.0, 135.0), (3_600.0, 0.5, 3_630.0), (3_600.0, 1.0, 3_660.0)],
)
def test_it_is_open_as_long_as_the_endpoint_requests_and_up_to_half_longer(
    clock: FakeClock, captured: CapturedLog, requested_s: float, random: float, open_s: float
) -> None:
    breaker = CircuitBreaker("https://h", clock=clock, log=captured.diagnostics(clock), random=lambda: random)

    breaker.failed("refused", requested_s)

    assert breaker.open_for_s() == open_s
    assert captured.lines == [OPENED.replace("1.0", f"{open_s:.1f}")]


def test_later_request_for_a_longer_pause_prolongs_the_open_time(breaker: CircuitBreaker) -> None:
    breaker.failed("refused", 60.0)

    breaker.failed("refused", 100.0)

    assert breaker.open_for_s() == 150.0


def test_freeze_that_only_the_wall_clock_counts_shortens_the_open_time(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    breaker.failed("refused")

    clock.jump_wall(10)

    assert breaker.open_for_s() == 0.0


def test_wall_clock_that_jumps_back_does_not_prolong_the_open_time(breaker: CircuitBreaker, clock: FakeClock) -> None:
    breaker.failed("refused")

    clock.jump_wall(-1_000)
    clock.advance(1)

    assert breaker.open_for_s() == 0.0


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 2.0), (0.5, 3.0), (1.0, 4.0)])
def test_jitter_shortens_by_up_to_half(random: float, seconds: float) -> None:
    assert backoff_s(1.0, longest_s=60.0, doublings=2, random=lambda: random) == seconds


@pytest.mark.parametrize("doublings", [6, 5_000])
def test_backoff_is_limited(doublings: int) -> None:
    assert backoff_s(1.0, longest_s=60.0, doublings=doublings, random=lambda: 1.0) == 60.0


def test_failures_of_several_threads_open_it_once(breaker: CircuitBreaker, captured: CapturedLog) -> None:
    threads = [threading.Thread(target=breaker.failed, args=("refused",)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert captured.lines == [OPENED]
