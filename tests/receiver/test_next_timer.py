import os
import threading
from collections.abc import Mapping

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.receiver.messages import InvokeEvent
from telemetry_forwarder.receiver.next_timer import NextTimer
from telemetry_forwarder.settings import PREFIX, Settings
from tests.support.fake_clock import FakeClock

# So long that only a hang exceeds it.
LONG_S = 30.0


def timer_of(settings: Mapping[str, str], clock: Clock | None = None, memory_mb: int = 128) -> NextTimer:
    environ = {PREFIX + name: value for name, value in settings.items()}
    return NextTimer(Settings(environ | {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb)}), clock or Clock())


def timer(clock: Clock | None = None, memory_mb: int = 128, **settings: str) -> NextTimer:
    return timer_of(settings, clock, memory_mb)


def invoke(seconds: float) -> InvokeEvent:
    return InvokeEvent("id", "arn", "", Deadline.after(seconds, Clock()))


@pytest.mark.parametrize(
    "settings",
    [
        {"FLUSH": "every 5 s"},
        {"FLUSH": "shutdown"},
        {"FLUSH_BUDGET_MS": "0"},
        {"FLUSH": "end", "FLUSH_BUDGET_MS": "0"},
        {"TYPES": "function"},
    ],
    ids=str,
)
def test_next_is_called_at_once_if_nothing_is_delivered_at_the_end(settings: dict[str, str]) -> None:
    """No thread releases the event here: a wait would only end with the limit."""
    event = invoke(3_600.0)

    timer_of(settings).wait(event)

    assert event.release_by.left_s() > 3_000


@pytest.mark.parametrize("flush", ["auto", "end"])
def test_next_is_called_at_the_limit_although_nobody_releases_it(flush: str) -> None:
    event = invoke(0.05)

    timer(FLUSH=flush).wait(event)

    assert event.release_by.is_over()
    assert not event.released.is_set()


def test_next_is_called_when_the_budget_after_the_end_is_over() -> None:
    event = invoke(3_600.0)
    event.end()

    timer(FLUSH="end", FLUSH_BUDGET_MS="50").wait(event)

    assert event.release_by.left_s() > 3_000
    assert not event.released.is_set()


@pytest.mark.parametrize("ends_first", [True, False])
def test_next_is_called_when_the_worker_releases_it(*, ends_first: bool) -> None:
    event = invoke(3_600.0)
    if ends_first:
        event.end()
    waiting = threading.Thread(target=timer(FLUSH="end", FLUSH_BUDGET_MS="60000").wait, args=(event,))
    waiting.start()

    event.release(0.0)

    waiting.join(LONG_S)
    assert not waiting.is_alive()


@pytest.mark.parametrize("has_ended", [True, False])
def test_wait_ends_earlier_if_the_wall_clock_turns_out_to_be_slow_although_nobody_releases(has_ended: bool) -> None:
    event = invoke(3_600.0)
    waiting = threading.Thread(target=timer(FLUSH="end", FLUSH_BUDGET_MS="60000").wait, args=(event,))
    waiting.start()
    if has_ended:
        event.end()

    event.correct(1_000_000_000)
    event.correct(3_599_900_000_000)

    waiting.join(LONG_S)
    assert not waiting.is_alive()
    assert not event.released.is_set()


def test_wait_ends_with_a_signal_that_arrived_before_it() -> None:
    event, tested = invoke(3_600.0), timer()
    tested.wakeup, when_signalled = os.pipe()
    os.write(when_signalled, b"\x0f")

    tested.wait(event)

    assert event.release_by.left_s() > 3_000
    os.close(tested.wakeup)
    os.close(when_signalled)


@pytest.mark.parametrize(
    ("memory_mb", "margin_s"), [(128, 0.376), (256, 0.238), (512, 0.169), (1_769, 0.12), (10_240, 0.12)]
)
def test_margin_grows_with_the_inverse_of_the_cpu_share(memory_mb: int, margin_s: float) -> None:
    assert timer(memory_mb=memory_mb).margin_s == pytest.approx(margin_s, abs=0.005)


def test_margin_is_at_most_a_third_of_the_invocation() -> None:
    clock = FakeClock()

    assert timer(clock).release_by(Deadline.after(0.3, clock)).left_s() == pytest.approx(0.2)
    assert timer(clock).release_by(Deadline.after(3.0, clock)).left_s() == pytest.approx(2.624, abs=0.005)


def late(clock: FakeClock, tested: NextTimer, seconds: float) -> float:
    """Call `next` *seconds* late; return the margin after that."""
    event = InvokeEvent("id", "arn", "", Deadline.after(3.0, clock))
    event.release(clock.monotonic_s())
    tested.wait(event)
    clock.advance(seconds)
    tested.sent()
    return tested.margin_s


def test_margin_doubles_the_measured_delay_within_bounds_and_forgets_it() -> None:
    clock = FakeClock()
    tested = timer(clock, memory_mb=1_769)
    least_s = tested.margin_s

    margins = [late(clock, tested, seconds) / least_s for seconds in (0.01, 0.09, 10.0, 0.0, 0.0)]

    assert margins == pytest.approx([1.0, 0.18 / least_s, 2.0, 2.0, 2.0])
    for _ in range(10):
        late(clock, tested, 0.0)
    assert tested.margin_s == least_s


def test_delay_is_measured_from_the_limit_if_nobody_releases() -> None:
    clock = FakeClock()
    tested = timer(clock, memory_mb=1_769)
    tested.wait(InvokeEvent("id", "arn", "", Deadline.after(0.0, clock)))
    clock.advance(0.1)

    tested.sent()

    assert tested.margin_s == pytest.approx(0.2)


def test_without_a_wait_nothing_is_measured() -> None:
    clock = FakeClock()
    tested = timer(clock)
    least_s = tested.margin_s

    clock.advance(10.0)
    tested.sent()

    assert tested.margin_s == least_s
