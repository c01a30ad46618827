from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.buffer.ledger import Ledger, Snapshot, Tally
from telemetry_forwarder.core.batch import LOGS, METRICS, POSTS, SIGNALS, SPANS


def test_new_ledger_is_empty() -> None:
    assert Ledger().snapshot() == Snapshot((Tally(LOGS), Tally(SPANS), Tally(METRICS)), Tally(POSTS))


@pytest.mark.parametrize(
    ("movement", "expected"),
    [
        (lambda ledger: None, Tally(LOGS, received=10, held=10)),
        (lambda ledger: ledger.delivered(LOGS, 10), Tally(LOGS, received=10, delivered=10)),
        (lambda ledger: ledger.rejected(LOGS, 4), Tally(LOGS, received=10, rejected=4, held=6)),
        (lambda ledger: ledger.spooled(LOGS, 10), Tally(LOGS, received=10, spooled=10)),
        (lambda ledger: ledger.dropped(LOGS, 3, "x"), Tally(LOGS, received=10, dropped={"x": 3}, held=7)),
        (lambda ledger: ledger.filtered(LOGS, 2, "x"), Tally(LOGS, received=10, held=10, filtered={"x": 2})),
    ],
)
def test_items_move_from_memory_to_their_destination(movement: Callable[[Ledger], None], expected: Tally) -> None:
    ledger = Ledger()
    ledger.received(LOGS, 10)

    movement(ledger)

    assert ledger.snapshot().of(LOGS) == expected
    assert ledger.snapshot().is_exact


def test_items_of_an_earlier_process_are_on_disk_until_they_are_sent() -> None:
    ledger = Ledger()

    ledger.restored(SPANS, 5)
    ledger.unspooled(SPANS, 3)
    ledger.delivered(SPANS, 3)

    assert ledger.snapshot().of(SPANS) == Tally(SPANS, restored=5, delivered=3, spooled=2)


def test_each_reason_is_counted_separately() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 9)

    ledger.dropped(LOGS, 1, "outbox full")
    ledger.dropped(LOGS, 2, "outbox full")
    ledger.dropped(LOGS, 4, "400")

    assert ledger.snapshot().of(LOGS).dropped == {"outbox full": 3, "400": 4}
    assert ledger.snapshot().of(LOGS).all_dropped == 7


def test_ledger_is_not_exact_if_items_leave_memory_without_having_entered_it() -> None:
    ledger = Ledger()

    ledger.delivered(LOGS, 1)

    assert not ledger.snapshot().is_exact


def test_snapshot_does_not_change_with_the_ledger() -> None:
    ledger = Ledger()
    ledger.received(LOGS, 2)
    ledger.dropped(LOGS, 1, "x")

    before = ledger.snapshot()
    ledger.dropped(LOGS, 1, "x")

    assert before.of(LOGS).dropped == {"x": 1}


_MOVEMENTS = st.sampled_from(["received", "restored", "spooled", "unspooled", "delivered", "rejected", "a", "b"])


@given(st.lists(st.tuples(st.sampled_from(SIGNALS), _MOVEMENTS, st.integers(0, 1_000))))
def test_ledger_is_balanced_after_every_movement(movements: list[tuple[str, str, int]]) -> None:
    ledger = Ledger()

    for signal, movement, count in movements:
        if movement in "ab":
            ledger.dropped(signal, count, movement)
        else:
            getattr(ledger, movement)(signal, count)

        assert [tally.unaccounted for tally in ledger.snapshot().tallies] == [0, 0, 0]


def test_summary_is_one_line_without_counts_that_are_zero() -> None:
    ledger = Ledger()
    ledger.records_received += 1_300
    ledger.received(LOGS, 1_200)
    ledger.delivered(LOGS, 1_190)
    ledger.dropped(LOGS, 10, "outbox full")

    assert ledger.summary() == (
        "records received 1300; "
        "logs received 1200 delivered 1190 dropped 10 (outbox full 10) held 0 spooled 0; "
        "traces received 0 delivered 0 dropped 0 held 0 spooled 0; "
        "metrics received 0 delivered 0 dropped 0 held 0 spooled 0"
    )


def test_summary_contains_every_count_that_is_not_zero() -> None:
    ledger = Ledger()
    ledger.records_lost_by_lambda += 7
    ledger.post_conversion_failed()
    ledger.posts_refused += 2
    ledger.duplicate_posts += 3
    ledger.restored(LOGS, 20)
    ledger.unspooled(LOGS, 20)
    ledger.rejected(LOGS, 2)
    ledger.dropped(LOGS, 4, "b")
    ledger.dropped(LOGS, 3, "a")
    ledger.spooled(LOGS, 1)
    ledger.filtered(LOGS, 5, "not a wanted type")
    ledger.restored(POSTS, 6)
    ledger.received(POSTS, 5)
    ledger.spooled(POSTS, 4)
    ledger.dropped(POSTS, 1, "not spooled")

    assert ledger.summary().split("; ")[:2] == [
        "records received 0 lost by Lambda 7 posts dropped 2 (conversion failed 1, not spooled 1)"
        " posts restored 6 posts spooled 10"
        " posts refused for now 2 duplicate posts 3",
        "logs received 0 restored 20 delivered 0 rejected 2 dropped 7 (a 3, b 4) held 10 spooled 1"
        " filtered 5 (not a wanted type 5)",
    ]


def test_posts_in_memory_are_held() -> None:
    ledger = Ledger()
    ledger.received(POSTS, 2)

    summaries = [ledger.summary().partition(";")[0], ledger.summary(unstored_posts=3).partition(";")[0]]

    assert summaries == ["records received 0 posts held 2", "records received 0 posts held 5"]


def test_counts_of_records_are_moved_once() -> None:
    ledger, conversion = Ledger(), Ledger()
    conversion.records_received = 5
    conversion.records_lost_by_lambda = 2
    conversion.filtered(LOGS, 3, "own log line")

    for _ in range(2):
        ledger.add_records_of(conversion)

    assert (ledger.records_received, ledger.records_lost_by_lambda) == (5, 2)
    assert ledger.snapshot().of(LOGS).filtered == {"own log line": 3}
    assert (conversion.records_received, conversion.records_lost_by_lambda) == (0, 0)
    assert conversion.snapshot().of(LOGS).filtered == {}
