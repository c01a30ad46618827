import pytest

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.receiver.messages import InvokeEvent, SendFinished, ShutdownEvent, SubscriptionResult
from tests.support.fake_clock import FakeClock


@pytest.mark.parametrize(
    ("reason", "ends_environment"), [("spindown", True), ("SPINDOWN", True), ("timeout", False), ("", False)]
)
def test_only_a_spindown_ends_the_environment(reason: str, ends_environment: bool) -> None:
    event = ShutdownEvent(reason, Deadline.after(2.0, FakeClock()))

    assert event.ends_environment is ends_environment


def test_latches_of_new_events_are_not_set() -> None:
    deadline = Deadline.after(2.0, FakeClock())

    assert not InvokeEvent("id", "arn", "", deadline).released.is_set()
    assert not ShutdownEvent("spindown", deadline).done.is_set()


def test_invocation_is_released_earlier_if_the_wall_clock_is_slower_than_was_known() -> None:
    event = InvokeEvent("id", "arn", "", Deadline.after(60.0, FakeClock()), slow_by_ns=1_000_000_000)

    left_s = []
    for slow_by_s in (0, 1, 11, 11, 5):
        event.correct(slow_by_s * 1_000_000_000)
        left_s.append(event.release_by.left_s())

    assert left_s == [60.0, 60.0, 50.0, 50.0, 50.0]


def test_results_contain_what_they_report() -> None:
    assert SubscriptionResult(has_telemetry=False).has_telemetry is False
    assert SendFinished("logs").signal == "logs"
