import pytest

from telemetry_forwarder.clock import Moment
from telemetry_forwarder.flushing.invocation_rate import InvocationRate
from tests.support.fake_clock import FakeClock


def is_busy_after(*gaps_s: float) -> bool:
    clock = FakeClock()
    rate = InvocationRate()
    rate.invoked(Moment(clock))
    for gap_s in gaps_s:
        clock.advance(gap_s)
        rate.invoked(Moment(clock))
    return rate.is_busy


@pytest.mark.parametrize(
    ("gaps_s", "is_busy"),
    [
        ((), False),
        ((1, 1, 1), False),
        ((1, 1, 1, 1), True),
        ((10, 10, 10, 10), True),
        ((10, 10, 10, 10.1), False),
        ((60, 60, 60, 60), False),
        # A gap between the two thresholds restarts the count and changes nothing else.
        ((1, 1, 1, 20, 1), False),
        ((1, 1, 1, 20, 1, 1, 1, 1), True),
        ((1, 1, 1, 1, 20, 30), True),
        ((1, 1, 1, 1, 30.1), False),
        # After a rare one, four close ones are needed again.
        ((1, 1, 1, 1, 60, 1, 1, 1), False),
        ((1, 1, 1, 1, 60, 1, 1, 1, 1), True),
    ],
)
def test_invocations_are_busy_or_rare_by_the_gaps_between_them(gaps_s: tuple[float, ...], is_busy: bool) -> None:
    assert is_busy_after(*gaps_s) is is_busy


def test_time_in_a_frozen_sandbox_counts_if_only_the_wall_clock_ran() -> None:
    clock = FakeClock()
    rate = InvocationRate()
    for _ in range(5):
        rate.invoked(Moment(clock))
    assert rate.is_busy

    clock.jump_wall(3_600)
    rate.invoked(Moment(clock))

    assert not rate.is_busy
