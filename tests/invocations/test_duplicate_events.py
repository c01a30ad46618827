from typing import Any

from telemetry_forwarder.invocations.duplicate_events import DuplicateEvents
from telemetry_forwarder.telemetry.records import Event
from tests.support.posts import MOMENT_NS, MS
from tests.support.stories import done, platform_event


def test_a_repeated_event_is_not_new() -> None:
    duplicates = DuplicateEvents()
    events = [done("a", 5), done("b", 5), done("a", 6), done("a", 5, status="error"), platform_event("runtimeDone", 5)]

    assert [duplicates.is_new(event) for event in [*events, *events]] == [True] * 5 + [False] * 5


def test_the_time_of_receipt_makes_no_difference() -> None:
    duplicates = DuplicateEvents()

    are_new = [duplicates.is_new(Event("x", MOMENT_NS, observed_ns, {"a": 1})) for observed_ns in (1, 2)]

    assert are_new == [True, False]


def test_only_the_latest_events_are_remembered() -> None:
    duplicates = DuplicateEvents()
    events = [Event("x", MOMENT_NS + number * MS, 0, None) for number in range(2_049)]
    assert all(map(duplicates.is_new, events))

    assert [duplicates.is_new(events[number]) for number in (1, 2_048, 0)] == [False, False, True]


def test_fields_nested_deeper_than_python_recurses_are_recognised() -> None:
    duplicates = DuplicateEvents()
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]

    are_new = [duplicates.is_new(Event("x", MOMENT_NS, 0, fields)) for fields in (deep, [deep], deep)]

    assert are_new == [True, True, False]
