"""The books are right only if the receiver has everything that the extension received."""

import pytest

from tests.demo.books import Account, balance
from tests.demo.messages import counter, log, span
from tests.demo.story import Message

LEDGER = (
    "[telemetry-forwarder] INFO records received 3; "
    "logs received 1 delivered 1 dropped 0 held 0 spooled 0 filtered 2 (in spans and metrics, never held 2); "
    "traces received 1 delivered 1 dropped 0 held 0 spooled 0; "
    "metrics received 1 delivered 1 dropped 0 held 0 spooled 0"
)
ARRIVED: list[Message] = [log("line", at=0), span("orders", 1, at=(0, 1)), counter("faas.invocations", 1)]


def test_books_are_right_if_everything_has_arrived() -> None:
    books = balance([LEDGER], ARRIVED, events_sent=3)

    assert books.accounts == {signal: Account(1, 1, 0, 0, 1) for signal in ("logs", "traces", "metrics")}
    assert books.problems == []
    assert not books.awaits_arrival
    assert str(books) == "ledger: received 3 delivered 3 held 0 dropped 0"


def test_ledgers_of_two_processes_are_added() -> None:
    books = balance([LEDGER, "something else", LEDGER], ARRIVED * 2, events_sent=6)

    assert books.problems == []
    assert str(books) == "ledger: received 6 delivered 6 held 0 dropped 0"


def test_item_that_the_next_process_found_on_disk_is_held_no_more() -> None:
    first = LEDGER.replace("logs received 1 delivered 1 dropped 0 held 0 spooled 0", "logs received 1 spooled 1")
    second = LEDGER.replace("logs received 1 delivered 1", "logs received 1 restored 1 delivered 2")

    books = balance([first, second], ARRIVED * 2, events_sent=6)

    assert books.accounts["logs"] == Account(2, 2, 0, 0, 2)
    assert books.problems == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("logs received 1 delivered 1", "logs received 2 delivered 1", "log records: received 2, delivered 1, held 0"),
        ("logs received 1 delivered 1", "logs received 2 delivered 2", "at the receiver 1"),
        ("logs received 1 delivered 1 dropped 0", "logs received 2 delivered 1 dropped 1", "dropped 1"),
        ("logs received 1 delivered 1", "logs received 2 delivered 1 rejected 1", "dropped 1"),
        ("traces received 1 delivered 1 dropped 0 held 0", "traces received 1 delivered 0 dropped 0 held 1", "held 1"),
        ("held 0 spooled 0", "held 0 spooled 1", "held 1"),
        ("metrics received 1 delivered 1", "metrics received 0 delivered 0", "data points: received 0, delivered 0"),
        ("records received 3", "records received 2", "Lambda sent 3 events, the extension received 2"),
    ],
)
def test_difference_is_a_problem(old: str, new: str, problem: str) -> None:
    assert old in LEDGER

    problems = balance([LEDGER.replace(old, new, 1)], ARRIVED, events_sent=3).problems

    assert any(problem in each for each in problems), problems


def test_extension_that_logged_no_ledger_is_a_problem() -> None:
    assert balance([], [], events_sent=0).problems == ["the extension has logged no ledger"]


def test_what_is_delivered_may_arrive_a_moment_later() -> None:
    assert balance([LEDGER], ARRIVED[1:], events_sent=3).awaits_arrival
