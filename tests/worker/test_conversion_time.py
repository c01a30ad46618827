import pytest

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.receiver.messages import InvokeEvent, ShutdownEvent
from telemetry_forwarder.worker.conversion_time import ConversionTime
from tests.support.fake_clock import FakeClock

# 0.1 s of an invocation, and a twentieth of its duration, with a quarter of a CPU.
SHARE = 0.25
FIXED_CPU_S = 0.025


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.time = ConversionTime(self.clock, cpu_share=SHARE)

    def invoke(self) -> InvokeEvent:
        event = InvokeEvent("id", "arn", "", Deadline.after(3.0, self.clock))
        self.time.invoked(event)
        return event


def test_nothing_is_limited_before_the_first_invocation() -> None:
    bench = Bench()

    bench.time.used(100.0)

    assert bench.time.wait_s() == 0.0


def test_conversions_are_limited_while_the_invocation_runs() -> None:
    bench = Bench()
    bench.invoke()

    bench.time.used(FIXED_CPU_S)
    first = bench.time.wait_s()
    bench.time.used(0.01)
    second = bench.time.wait_s()
    bench.clock.advance(second)

    assert (first, second, bench.time.wait_s()) == pytest.approx((0.0, 0.8, 0.0))


def test_conversions_never_exceed_their_share_of_an_invocation() -> None:
    bench = Bench()
    bench.invoke()
    used_s = 0.0
    slice_s = 0.008

    for _ in range(1_000):
        if bench.time.wait_s():
            bench.clock.advance(0.01)
        else:
            bench.time.used(slice_s)
            used_s += slice_s
            bench.clock.advance(slice_s / SHARE)

    duration_s = bench.clock.monotonic_s() - FakeClock().monotonic_s()
    assert used_s / SHARE <= 0.1 + 0.05 * duration_s + slice_s / SHARE
    assert used_s / SHARE >= 0.1 + 0.05 * duration_s - slice_s / SHARE


@pytest.mark.parametrize("how", ["end", "shutdown"])
def test_limit_ends_with_the_invocation(how: str) -> None:
    bench = Bench()
    event = bench.invoke()
    bench.time.used(10.0)
    before_s = bench.time.wait_s()

    if how == "end":
        event.end()
    else:
        bench.time.shut_down(ShutdownEvent("timeout", Deadline.after(2.0, bench.clock)))

    assert (before_s > 100.0, bench.time.wait_s()) == (True, 0.0)


def test_release_of_next_does_not_end_the_limit() -> None:
    """With `every`, `next` is called while the function runs."""
    bench = Bench()
    event = bench.invoke()
    bench.time.used(10.0)

    event.release(0.0)

    assert bench.time.wait_s() > 100.0


def test_each_invocation_has_a_limit_of_its_own() -> None:
    bench = Bench()
    bench.invoke()
    bench.time.used(10.0)

    bench.invoke()

    assert bench.time.wait_s() == 0.0
