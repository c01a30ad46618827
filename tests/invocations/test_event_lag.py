import pytest

from telemetry_forwarder.invocations.event_lag import EventLag

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("seen", "lag_ns"),
    [
        ([], 0),
        ([5], 5),
        ([5, 3, 9], 3),
        ([5, -2, -7], -7),
        # The clock has been set, or the event has waited for a thaw.
        ([-2, 4], 4),
        ([-2, 4_000 * SECOND], 60 * SECOND),
    ],
)
def test_lag_is_the_shortest_one_unless_the_clock_is_slow(seen: list[int], lag_ns: int) -> None:
    lag = EventLag()
    for each in seen:
        lag.note(each)

    assert lag.ns == lag_ns


@pytest.mark.parametrize(
    ("lag_ns", "corrected"), [(-3, 103), (0, 100), (60 * SECOND, 100), (61 * SECOND, 100 - 61 * SECOND)]
)
def test_time_is_corrected_if_the_clock_is_slow_or_far_ahead(lag_ns: int, corrected: int) -> None:
    lag = EventLag()
    lag.note(lag_ns)

    assert lag.correct(100) == corrected
