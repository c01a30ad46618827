import pytest

from telemetry_forwarder.otlp.instruments import COUNTERS, HISTOGRAMS, MEMORY_SIZE


def test_names_are_distinct() -> None:
    names = [*HISTOGRAMS, *COUNTERS, MEMORY_SIZE]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histograms_have_a_description_and_ascending_bounds_in_their_unit(name: str) -> None:
    unit, bounds, description = HISTOGRAMS[name]

    assert unit in ("s", "By")
    assert list(bounds) == sorted(set(bounds))
    assert description


def test_bounds_of_seconds_are_the_conventions() -> None:
    bounds = {bounds for unit, bounds, _ in HISTOGRAMS.values() if unit == "s"}

    assert bounds == {(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)}


@pytest.mark.parametrize("name", COUNTERS)
def test_counters_have_a_unit_and_a_description(name: str) -> None:
    unit, description = COUNTERS[name]

    assert unit == "By" or (unit.startswith("{") and unit.endswith("}"))
    assert description
