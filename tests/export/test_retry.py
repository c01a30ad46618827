import math

import pytest

from telemetry_forwarder.export.retry import RetryPolicy, is_final
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from tests.support.fake_clock import FakeClock

BUSY = Response(503, {}, b"")
UNREACHABLE = Failure(FailureKind.UNREACHABLE, "Connection refused")
TIMED_OUT = Failure(FailureKind.TIMED_OUT, "no response in time")
UNTRUSTED = Failure(FailureKind.UNTRUSTED, "TLS failed: unknown authority")
POLICY = RetryPolicy(random=lambda: 1.0)


@pytest.mark.parametrize("outcome", [UNREACHABLE, TIMED_OUT, BUSY, Response(429, {}, b"")])
def test_these_outcomes_are_retryable(outcome: Response | Failure) -> None:
    assert not is_final(outcome)


@pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 404, 408, 413, 500, 501])
def test_these_statuses_are_final(status: int) -> None:
    assert is_final(Response(status, {}, b""))


def test_pauses_double_up_to_the_longest() -> None:
    pauses_s = [POLICY.pause_s(BUSY, attempts, FakeClock()) for attempts in range(1, 9)]

    assert pauses_s == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_jitter_shortens_a_pause() -> None:
    assert RetryPolicy(random=lambda: 0.0).pause_s(TIMED_OUT, 1, FakeClock()) == pytest.approx(0.05)


@pytest.mark.parametrize(("random", "pause_s"), [(0.0, 7.0), (0.5, 8.75), (1.0, 10.5)])
def test_retry_after_is_the_pause_prolonged_by_up_to_half(random: float, pause_s: float) -> None:
    policy = RetryPolicy(random=lambda: random)

    assert policy.pause_s(Response(503, {"retry-after": "7"}, b""), 1, FakeClock()) == pause_s


def test_untrusted_server_is_not_tried_again() -> None:
    assert POLICY.pause_s(UNTRUSTED, 1, FakeClock()) == math.inf
