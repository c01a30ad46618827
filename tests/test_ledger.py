from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.batch import LOGS, METRICS, SIGNALS, SPANS
from telemetry_forwarder.ledger import Ledger, Measurement, Snapshot, Tally, changes


def test_new_books_are_empty() -> None:
    assert Ledger().snapshot() == Snapshot(0, 0, (Tally(LOGS), Tally(SPANS), Tally(METRICS)))


@pytest.mark.parametrize(
    ("movement", "there"),
    [
        (lambda ledger: None, Tally(LOGS, received=10, held=10)),
        (lambda ledger: ledger.delivered(LOGS, 10), Tally(LOGS, received=10, delivered=10)),
        (lambda ledger: ledger.rejected(LOGS, 4), Tally(LOGS, received=10, rejected=4, held=6)),
        (lambda ledger: ledger.spooled(LOGS, 10), Tally(LOGS, received=10, spooled=10)),
        (lambda ledger: ledger.dropped(LOGS, 3, "x"), Tally(LOGS, received=10, dropped={"x": 3}, held=7)),
        (lambda ledger: ledger.left_out(LOGS, 2, "x"), Tally(LOGS, received=10, held=10, left_out={"x": 2})),
    ],
)
def test_items_move_from_memory_to_where_they_end(movement: Callable[[Ledger], None], there: Tally) -> None:
    ledger = Ledger()
    ledger.received(LOGS, 10)

    movement(ledger)

    assert ledger.snapshot().of(LOGS) == there
    assert ledger.snapshot().is_exact


def test_items_of_an_earlier_life_are_on_disk_until_they_are_sent() -> None:
    ledger = Ledger()

    ledger.restored(SPANS, 5)
    ledger.unspooled(SPANS, 3)
    ledger.delivered(SPANS, 3)

    assert ledger.snapshot().of(SPANS) == Tally(SPANS, restored=5, delivered=3, spooled=2)


def test_reasons_are_counted_apart() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 9)

    ledger.dropped(LOGS, 1, "outbox full")
    ledger.dropped(LOGS, 2, "outbox full")
    ledger.dropped(LOGS, 4, "400")

    assert ledger.snapshot().of(LOGS).dropped == {"outbox full": 3, "400": 4}
    assert ledger.snapshot().of(LOGS).all_dropped == 7


def test_items_that_leave_memory_without_having_entered_it_are_an_error_in_the_books() -> None:
    ledger = Ledger()

    ledger.delivered(LOGS, 1)

    assert not ledger.snapshot().is_exact


def test_snapshot_does_not_change_with_the_books() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 2)
    ledger.dropped(LOGS, 1, "x")

    before = ledger.snapshot()
    ledger.dropped(LOGS, 1, "x")

    assert before.of(LOGS).dropped == {"x": 1}


_MOVEMENTS = st.sampled_from(
    ["received", "restored", "spooled", "unspooled", "delivered", "rejected", "a", "b"]
)


@given(st.lists(st.tuples(st.sampled_from(SIGNALS), _MOVEMENTS, st.integers(0, 1_000))))
def test_books_balance_after_every_movement(movements: list[tuple[str, str, int]]) -> None:
    ledger = Ledger()

    for signal, movement, count in movements:
        if movement in "ab":
            ledger.dropped(signal, count, movement)
        else:
            getattr(ledger, movement)(signal, count)

        assert [tally.unaccounted for tally in ledger.snapshot().tallies] == [0, 0, 0]


def test_summary_is_one_line_that_says_only_what_happened() -> None:
    ledger = Ledger()
    ledger.records_received(1_300)
    ledger.received(LOGS, 1_200)
    ledger.delivered(LOGS, 1_190)
    ledger.dropped(LOGS, 10, "outbox full")

    assert ledger.summary() == (
        "records received 1300; "
        "logs received 1200 delivered 1190 dropped 10 (outbox full 10) held 0 spooled 0; "
        "traces received 0 delivered 0 dropped 0 held 0 spooled 0; "
        "metrics received 0 delivered 0 dropped 0 held 0 spooled 0"
    )


def test_summary_names_every_other_fate_where_there_is_one() -> None:
    ledger = Ledger()
    ledger.records_lost_by_lambda(7)
    ledger.records_unreadable(1)
    ledger.restored(LOGS, 20)
    ledger.unspooled(LOGS, 20)
    ledger.rejected(LOGS, 2)
    ledger.dropped(LOGS, 4, "b")
    ledger.dropped(LOGS, 3, "a")
    ledger.spooled(LOGS, 1)
    ledger.left_out(LOGS, 5, "not a wanted type")

    assert ledger.summary().split("; ")[:2] == [
        "records received 0 lost by Lambda 7 posts dropped 1",
        "logs received 0 restored 20 delivered 0 rejected 2 dropped 7 (a 3, b 4) held 10 spooled 1"
        " left out 5 (not a wanted type 5)",
    ]


def test_changes_carry_the_names_and_units_of_the_semantic_conventions() -> None:
    ledger = Ledger()
    before = ledger.snapshot()
    for signal in SIGNALS:
        ledger.received(signal, 2)
        ledger.delivered(signal, 1)

    assert changes(before, ledger.snapshot()) == [
        Measurement("otel.sdk.exporter.log.exported", "{log_record}", 1, {}, is_counter=True),
        Measurement("otel.sdk.exporter.log.inflight", "{log_record}", 1, {}, is_counter=False),
        Measurement("otel.sdk.exporter.span.exported", "{span}", 1, {}, is_counter=True),
        Measurement("otel.sdk.exporter.span.inflight", "{span}", 1, {}, is_counter=False),
        Measurement("otel.sdk.exporter.metric_data_point.exported", "{data_point}", 1, {}, is_counter=True),
        Measurement("otel.sdk.exporter.metric_data_point.inflight", "{data_point}", 1, {}, is_counter=False),
    ]


def test_changes_name_the_reason_of_a_failed_export() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 10)
    ledger.dropped(LOGS, 1, "outbox full")
    before = ledger.snapshot()

    ledger.dropped(LOGS, 2, "outbox full")
    ledger.rejected(LOGS, 3)

    name, unit = "otel.sdk.exporter.log.exported", "{log_record}"
    assert changes(before, ledger.snapshot()) == [
        Measurement(name, unit, 3, {"error.type": "rejected"}, is_counter=True),
        Measurement(name, unit, 2, {"error.type": "outbox_full"}, is_counter=True),
        Measurement("otel.sdk.exporter.log.inflight", unit, -5, {}, is_counter=False),
    ]


def test_what_goes_to_disk_stays_in_flight() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 10)
    before = ledger.snapshot()

    ledger.spooled(LOGS, 10)

    assert changes(before, ledger.snapshot()) == []
