import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from telemetry_forwarder.buffer.ledger import Ledger, Tally
from telemetry_forwarder.buffer.outbox import OUTBOX_FULL, Outbox
from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch


def batch(body: bytes, *, items: int = 1, signal: str = LOGS) -> Batch:
    return Batch(signal, body, items)


def outbox_of(*batches: Batch, limit_bytes: int = 100, request_bytes: int = 100, items: int = 100) -> Outbox:
    outbox = Outbox(Ledger(), limit_bytes=limit_bytes, request_bytes=request_bytes, request_items=items)
    for each in batches:
        outbox.put(each)
    return outbox


def test_batches_of_one_signal_are_joined_in_their_order() -> None:
    outbox = outbox_of(batch(b"one", items=1), batch(b"two", items=2), batch(b"three", items=3))

    assert outbox.take_all() == [Batch(LOGS, b"onetwothree", 6)]


def test_signals_are_never_joined_with_each_other() -> None:
    outbox = outbox_of(
        batch(b"metric", signal=METRICS), batch(b"log"), batch(b"span", signal=SPANS), batch(b"line")
    )

    assert outbox.take_all() == [
        Batch(LOGS, b"logline", 2),
        Batch(SPANS, b"span", 1),
        Batch(METRICS, b"metric", 1),
    ]


def test_request_has_at_most_as_many_bytes_as_the_endpoint_takes() -> None:
    outbox = outbox_of(batch(b"aaa"), batch(b"bbb"), batch(b"c"), batch(b"dd"), request_bytes=7)

    assert [each.body for each in outbox.take_all()] == [b"aaabbbc", b"dd"]


def test_request_has_at_most_as_many_items_as_the_endpoint_takes() -> None:
    outbox = outbox_of(batch(b"a", items=4), batch(b"b", items=3), batch(b"c", items=3), items=7)

    assert outbox.take_all() == [Batch(LOGS, b"ab", 7), Batch(LOGS, b"c", 3)]


def test_batch_beyond_the_endpoints_limits_comes_alone() -> None:
    outbox = outbox_of(batch(b"a"), batch(b"b" * 20), batch(b"c"), request_bytes=10)

    assert [each.body for each in outbox.take_all()] == [b"a", b"b" * 20, b"c"]


def test_large_batches_are_joined_when_they_are_taken() -> None:
    large = [batch(bytes([letter]) * 12_000) for letter in b"abc"]
    outbox = outbox_of(*large, limit_bytes=100_000, request_bytes=30_000)

    assert [each.body for each in outbox.take_all()] == [large[0].body + large[1].body, large[2].body]


def test_taking_from_an_empty_outbox_gives_nothing() -> None:
    assert outbox_of().take(LOGS) is None
    assert outbox_of().take_all() == []


def test_batch_without_items_is_not_held() -> None:
    outbox = outbox_of(batch(b"resource", items=0))

    assert outbox.is_empty
    assert outbox.take_all() == []


def test_held_is_counted_in_bytes_and_items() -> None:
    outbox = outbox_of(batch(b"abc", items=2), batch(b"de", items=5, signal=SPANS))

    assert outbox.held_bytes == 5
    assert [outbox.held_items(signal) for signal in SIGNALS] == [2, 5, 0]
    assert not outbox.is_empty


def test_taken_batches_are_no_longer_in_the_outbox() -> None:
    outbox = outbox_of(batch(b"abc", items=2))

    outbox.take_all()

    assert (outbox.held_bytes, outbox.held_items(LOGS), outbox.is_empty) == (0, 0, True)


@pytest.mark.parametrize(("held", "is_nearly_full"), [(0, False), (74, False), (75, True), (100, True)])
def test_outbox_is_nearly_full_from_three_quarters_on(held: int, is_nearly_full: bool) -> None:
    assert outbox_of(batch(b"x" * held, items=held)).is_nearly_full is is_nearly_full


def test_oldest_of_all_signals_make_room_for_the_newest() -> None:
    ledger = Ledger()
    outbox = Outbox(ledger, limit_bytes=10)
    outbox.put(batch(b"span", signal=SPANS, items=3))
    outbox.put(batch(b"log.."))

    outbox.put(batch(b"metr.", signal=METRICS))

    assert outbox.take_all() == [Batch(LOGS, b"log..", 1), Batch(METRICS, b"metr.", 1)]
    assert ledger.snapshot().of(SPANS) == Tally(SPANS, received=3, dropped={OUTBOX_FULL: 3})


def test_batch_larger_than_the_outbox_stays_the_caller_s_and_costs_no_other() -> None:
    ledger = Ledger()
    outbox = Outbox(ledger, limit_bytes=10)
    outbox.put(batch(b"small"))

    is_taken = outbox.put(batch(b"x" * 11, items=7))

    assert not is_taken
    assert outbox.take_all() == [Batch(LOGS, b"small", 1)]
    assert ledger.snapshot().of(LOGS) == Tally(LOGS, received=8, held=8)


def test_what_is_put_back_is_taken_first_and_in_its_order() -> None:
    outbox = outbox_of(batch(b"first"), batch(b"second"), request_bytes=6)
    taken = outbox.take_all()
    outbox.put(batch(b"third"))

    outbox.put_back(taken)

    assert [each.body for each in outbox.take_all()] == [b"first", b"second", b"third"]


def test_what_is_put_back_is_not_received_again() -> None:
    ledger = Ledger()
    outbox = Outbox(ledger)
    outbox.put(batch(b"x", items=4))

    outbox.put_back(outbox.take_all())

    assert ledger.snapshot().of(LOGS) == Tally(LOGS, received=4, held=4)


def test_what_comes_back_to_a_full_outbox_is_the_oldest_and_goes() -> None:
    ledger = Ledger()
    outbox = Outbox(ledger, limit_bytes=10)
    outbox.put(batch(b"first"))
    taken = outbox.take_all()
    outbox.put(batch(b"second"))

    outbox.put_back(taken)

    assert outbox.take_all() == [Batch(LOGS, b"second", 1)]
    assert ledger.snapshot().of(LOGS).dropped == {OUTBOX_FULL: 1}


def test_what_came_back_is_the_first_to_make_room() -> None:
    outbox = outbox_of(batch(b"first"), batch(b"second", signal=SPANS), limit_bytes=16)
    taken = [outbox.take(LOGS)]
    outbox.put_back(each for each in taken if each)

    outbox.put(batch(b"third.", signal=METRICS))

    assert [each.body for each in outbox.take_all()] == [b"second", b"third."]


def test_many_small_batches_are_not_kept_one_by_one() -> None:
    """What keeping a batch costs beside its body is not in the bound: it has to stay small beside it."""
    outbox = Outbox(Ledger())
    tracemalloc.start()

    for number in range(2_000):
        outbox.put(batch(number.to_bytes(300, "big")))

    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used_bytes < 1.1 * outbox.held_bytes


_ITEM_BYTES = 8


class OutboxMachine(RuleBasedStateMachine):
    """Any calls in any order. Every item carries its number, so that no loss and no swap goes unseen."""

    limit_bytes = 400

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.outbox = Outbox(self.ledger, limit_bytes=self.limit_bytes, request_bytes=160, request_items=15)
        self.made = 0
        self.under_way: list[Batch] = []
        self.last_out = dict.fromkeys(SIGNALS, -1)

    @rule(signal=st.sampled_from(SIGNALS), items=st.integers(0, 60))
    def put(self, signal: str, items: int) -> None:
        if not self.outbox.put(Batch(signal, _numbered(range(self.made, self.made + items)), items)):
            self.ledger.dropped(signal, items, "larger than the outbox")
        self.made += items

    @rule(signal=st.sampled_from(SIGNALS))
    def take(self, signal: str) -> None:
        if taken := self.outbox.take(signal):
            self.under_way.append(taken)

    @rule()
    def take_all(self) -> None:
        self.under_way += self.outbox.take_all()

    @rule()
    def put_back(self) -> None:
        self.outbox.put_back(self.under_way)
        self.under_way = []

    @rule()
    def deliver(self) -> None:
        for each in self.under_way:
            self.ledger.delivered(each.signal, each.items)
            for number in _numbers(each.body):
                assert number > self.last_out[each.signal]
                self.last_out[each.signal] = number
        self.under_way = []

    @invariant()
    def bound_holds(self) -> None:
        assert 0 <= self.outbox.held_bytes <= self.limit_bytes

    @invariant()
    def in_is_out_plus_dropped_plus_held(self) -> None:
        snapshot = self.ledger.snapshot()
        assert snapshot.is_exact
        assert sum(tally.received for tally in snapshot.tallies) == self.made
        for signal in SIGNALS:
            under_way = sum(each.items for each in self.under_way if each.signal == signal)
            assert snapshot.of(signal).held == self.outbox.held_items(signal) + under_way


def _numbered(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(_ITEM_BYTES, "big") for number in numbers)


def _numbers(body: bytes) -> list[int]:
    return [int.from_bytes(body[at : at + _ITEM_BYTES], "big") for at in range(0, len(body), _ITEM_BYTES)]


TestAnyCalls = OutboxMachine.TestCase
TestAnyCalls.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(st.sampled_from(SIGNALS), st.integers(1, 20)), max_size=60))
def test_requests_stay_within_the_limits(puts: list[tuple[str, int]]) -> None:
    outbox = Outbox(Ledger(), request_bytes=30, request_items=20)
    for signal, items in puts:
        outbox.put(Batch(signal, b"x" * items, items))

    taken = outbox.take_all()

    assert sum(each.items for each in taken) == sum(items for _, items in puts)
    assert max((each.items for each in taken), default=0) <= 20
