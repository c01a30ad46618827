import pytest

from telemetry_forwarder.clock import Deadline, Moment
from telemetry_forwarder.flushing.hold import Hold
from tests.support.fake_clock import FakeClock


def hold(clock: FakeClock, *, limit_s: float = 10.0, budget_s: float | None = None) -> Hold:
    budget = None if budget_s is None else Deadline.after(budget_s, clock)
    return Hold(Moment(clock), Deadline.after(limit_s, clock), flushes_at_end=True, budget=budget)


def test_released_hold_waits_for_no_flush() -> None:
    clock = FakeClock()
    held = hold(clock, budget_s=1.0)

    held.limit = None

    assert held.flush_wait_s(Moment(clock)) == 0.0


@pytest.mark.parametrize(("budget_s", "after_s", "is_past"), [(None, 100, False), (0.5, 0.4, False), (0.5, 0.5, True)])
def test_budget_is_past_only_after_the_end(budget_s: float | None, after_s: float, is_past: bool) -> None:
    clock = FakeClock()
    held = hold(clock, budget_s=budget_s)

    clock.advance(after_s)

    assert held.is_past_budget(Moment(clock)) is is_past


@pytest.mark.parametrize(("limit_s", "budget_s", "wait_s"), [(10.0, None, 0.0), (10.0, 0.5, 0.5), (0.2, 0.5, 0.2)])
def test_flush_is_waited_for_within_budget_and_limit(limit_s: float, budget_s: float | None, wait_s: float) -> None:
    clock = FakeClock()
    held = hold(clock, limit_s=limit_s, budget_s=budget_s)

    assert held.flush_wait_s(Moment(clock)) == pytest.approx(wait_s)
