"""What follows a slice is read only as far as it is needed, and belongs to the slice only if it is taken."""

from telemetry_forwarder.conversion.lookahead import Lookahead
from telemetry_forwarder.telemetry.decoder import Decoder
from telemetry_forwarder.telemetry.records import LogLine, Malformed
from tests.support.posts import MOMENT_NS, OBSERVED_NS, event, post

EVENTS = [event("function", f"line {number}") for number in range(6)]
BODY = post(*EVENTS)
AT = [len(post(*EVENTS[:number])) for number in range(6)]
"""Where the event of that number begins."""


def ahead_of(items: int) -> Lookahead:
    """Return what is ahead in a slice of some items."""
    return Lookahead(EVENTS[:items], OBSERVED_NS, decoder=Decoder(), body=BODY, at=AT[items])


def test_items_of_the_slice_come_first() -> None:
    ahead = ahead_of(2)

    assert [ahead.item(number) for number in range(1, 8)] == [*EVENTS, None]


def test_what_is_not_taken_is_left_to_the_next_slice() -> None:
    ahead = ahead_of(2)
    assert ahead.item(5) == EVENTS[4]

    ahead.remove(1)

    assert (ahead.items, ahead.next_at, ahead.taken_beyond) == ([EVENTS[1]], AT[2], 0)


def test_what_is_taken_belongs_to_the_slice() -> None:
    ahead = ahead_of(2)
    assert ahead.item(5) == EVENTS[4]

    ahead.remove(4)

    assert (ahead.items, ahead.next_at, ahead.taken_beyond) == ([], AT[4], 2)
    assert ahead.item(1) == EVENTS[4]
    ahead.remove(1)
    assert (ahead.items, ahead.next_at, ahead.taken_beyond) == ([], AT[5], 3)


def test_items_of_the_slice_are_removed() -> None:
    ahead = ahead_of(3)

    ahead.remove(0)
    ahead.remove(2)

    assert (ahead.items, ahead.next_at) == ([EVENTS[2]], AT[3])


def test_records_have_nothing_behind_them() -> None:
    line = LogLine("function", MOMENT_NS, "line 0", OBSERVED_NS)
    ahead = Lookahead([Malformed(OBSERVED_NS, "x"), line])

    assert (ahead.line(1), ahead.line(2), ahead.line(3)) == (None, line, None)
    assert Lookahead([EVENTS[0]], OBSERVED_NS).line(1) == line
