import random

from telemetry_forwarder.core.jitter import random_fraction


def test_numbers_are_spread_from_zero_to_one() -> None:
    numbers = sorted(random_fraction() for _ in range(1_000))

    assert 0.0 <= numbers[0] < 0.1
    assert 0.9 < numbers[-1] <= 1.0


def test_environments_restored_from_one_snapshot_draw_different_numbers() -> None:
    """A snapshot contains the state of `random`."""
    state = random.getstate()
    first = [random_fraction() for _ in range(4)]

    random.setstate(state)

    assert [random_fraction() for _ in range(4)] != first
