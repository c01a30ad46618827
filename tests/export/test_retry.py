import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from telemetry_forwarder.export.circuit_breaker import CircuitBreaker
from telemetry_forwarder.export.retry import EndpointHealth, RetryPolicy, is_retryable
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock

BUSY = Response(503, {}, b"")
UNREACHABLE = Failure(FailureKind.UNREACHABLE, "Connection refused")
TIMED_OUT = Failure(FailureKind.TIMED_OUT, "no response in time")
UNTRUSTED = Failure(FailureKind.UNTRUSTED, "TLS failed: unknown authority")
POLICY = RetryPolicy(random=lambda: 1.0)


@dataclass
class Health:
    """The health of one endpoint, and its two circuit breakers."""

    captured: CapturedLog

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.server = CircuitBreaker("https://h", self.clock, POLICY.random)
        self.signal = CircuitBreaker("https://h (logs)", self.clock, POLICY.random)
        log = self.captured.diagnostics(self.clock)
        self.endpoint = EndpointHealth(server=self.server, signal=self.signal, log=log)

    def failed(self, outcome: Response | Failure) -> None:
        self.endpoint.failed(outcome, self.clock.unix_ns(), ("SECRET",))


@pytest.fixture
def health() -> Iterator[Health]:
    with CapturedLog() as captured:
        yield Health(captured)


@pytest.mark.parametrize("outcome", [UNREACHABLE, TIMED_OUT, BUSY, Response(429, {}, b"")])
def test_these_outcomes_are_retryable(outcome: Response | Failure) -> None:
    assert is_retryable(outcome)


@pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 404, 408, 413, 500, 501])
def test_these_statuses_are_final(status: int) -> None:
    assert not is_retryable(Response(status, {}, b""))


def test_pauses_double_up_to_the_longest() -> None:
    pauses_s = [POLICY.pause_s(BUSY, attempts, FakeClock()) for attempts in range(1, 9)]

    assert pauses_s == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_jitter_shortens_a_pause() -> None:
    assert RetryPolicy(random=lambda: 0.0).pause_s(TIMED_OUT, 1, FakeClock()) == pytest.approx(0.05)


def test_retry_after_is_the_pause() -> None:
    assert POLICY.pause_s(Response(503, {"retry-after": "7"}, b""), 1, FakeClock()) == 7.0


def test_untrusted_server_is_not_tried_again() -> None:
    assert POLICY.pause_s(UNTRUSTED, 1, FakeClock()) == math.inf


@pytest.mark.parametrize(
    ("outcome", "is_server_open", "is_signal_open", "name"),
    [
        (UNREACHABLE, True, False, "https://h"),
        (UNTRUSTED, True, False, "https://h"),
        (TIMED_OUT, False, True, "https://h (logs)"),
        (BUSY, False, True, "https://h (logs)"),
    ],
)
def test_failure_opens_the_circuit_breaker_of_its_cause(
    health: Health, outcome: Response | Failure, is_server_open: bool, is_signal_open: bool, name: str
) -> None:
    health.failed(outcome)

    assert (health.server.is_open, health.signal.is_open) == (is_server_open, is_signal_open)
    assert (health.endpoint.is_failing, health.endpoint.hold_s()) == (True, 1.0)
    (line,) = health.captured.lines
    assert line.startswith(f"WARN {name} does not accept telemetry: ")
    assert line.endswith("; telemetry is held, next attempt in 1.0 s")


def test_endpoint_is_left_alone_as_long_as_it_requests(health: Health) -> None:
    health.failed(Response(429, {"retry-after": "90"}, b"SECRET"))

    assert health.endpoint.hold_s() == 90.0
    assert health.captured.lines == [
        "WARN https://h (logs) does not accept telemetry: 429: ***; telemetry is held, next attempt in 90.0 s"
    ]


def test_response_of_any_kind_shows_that_the_server_is_reachable(health: Health) -> None:
    health.failed(UNREACHABLE)
    health.clock.advance(1.0)

    health.failed(BUSY)

    assert (health.server.is_open, health.signal.is_open) == (False, True)
    assert health.captured.lines[1] == "INFO https://h responds again"


def test_success_closes_both_and_is_logged_once(health: Health) -> None:
    health.failed(UNREACHABLE)
    health.failed(TIMED_OUT)

    health.endpoint.succeeded()
    health.endpoint.succeeded()

    assert (health.endpoint.is_failing, health.endpoint.hold_s()) == (False, 0.0)
    assert health.captured.lines[2:] == [
        "INFO https://h responds again",
        "INFO https://h (logs) responds again",
    ]
