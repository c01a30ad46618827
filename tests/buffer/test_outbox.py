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


def outbox_of(
    *batches: Batch, ledger: Ledger | None = None, limit_bytes: int = 100, request_bytes: int = 100, items: int = 100
) -> Outbox:
    outbox = Outbox(ledger or Ledger(), limit_bytes=limit_bytes, request_bytes=request_bytes, request_items=items)
    for each in batches:
        outbox.put(each)
    return outbox


def test_batches_of_one_signal_are_joined_in_their_order() -> None:
    outbox = outbox_of(batch(b"one", items=1), batch(b"two", items=2), batch(b"three", items=3))

    assert outbox.take_all() == [Batch(LOGS, b"onetwothree", 6)]


def test_signals_are_never_joined_with_each_other() -> None:
    outbox = outbox_of(batch(b"metric", signal=METRICS), batch(b"log"), batch(b"span", signal=SPANS), batch(b"line"))

    assert outbox.take_all() == [Batch(LOGS, b"logline", 2), Batch(SPANS, b"span", 1), Batch(METRICS, b"metric", 1)]


def test_request_stays_within_the_endpoints_limit_of_bytes() -> None:
    outbox = outbox_of(batch(b"aaa"), batch(b"bbb"), batch(b"c"), batch(b"dd"), request_bytes=7)

    assert [each.body for each in outbox.take_all()] == [b"aaabbbc", b"dd"]


def test_request_stays_within_the_endpoints_limit_of_items() -> None:
    outbox = outbox_of(batch(b"a", items=4), batch(b"b", items=3), batch(b"c", items=3), items=7)

    assert outbox.take_all() == [Batch(LOGS, b"ab", 7), Batch(LOGS, b"c", 3)]


def test_batch_beyond_the_endpoints_limits_is_taken_alone() -> None:
    outbox = outbox_of(batch(b"a"), batch(b"b" * 20), batch(b"c"), request_bytes=10)

    assert [each.body for each in outbox.take_all()] == [b"a", b"b" * 20, b"c"]


def test_batches_that_are_not_held_are_joined_to_requests() -> None:
    batches = [batch(b"aaa"), batch(b"s", signal=SPANS), batch(b"bbb"), batch(b"cc"), batch(b"t", signal=SPANS)]

    by_bytes = outbox_of(request_bytes=6).joined(batches)
    by_items = outbox_of(items=1).joined(batches)

    assert by_bytes == [Batch(LOGS, b"aaabbb", 2), Batch(LOGS, b"cc", 1), Batch(SPANS, b"st", 2)]
    assert sorted(each.body for each in by_items) == sorted(each.body for each in batches)


def test_large_batches_are_joined_when_they_are_taken() -> None:
    large = [batch(bytes([letter]) * 12_000) for letter in b"abc"]
    outbox = outbox_of(*large, limit_bytes=100_000, request_bytes=30_000)

    assert [each.body for each in outbox.take_all()] == [large[0].body + large[1].body, large[2].body]


def test_taking_from_an_empty_outbox_returns_nothing() -> None:
    assert outbox_of().take(LOGS) is None
    assert outbox_of().take_all() == []


def test_batch_without_items_is_not_held() -> None:
    outbox = outbox_of(batch(b"resource", items=0))

    assert outbox.held_bytes == 0
    assert outbox.take_all() == []


def test_held_bytes_and_items_are_counted() -> None:
    outbox = outbox_of(batch(b"abc", items=2), batch(b"de", items=5, signal=SPANS))

    assert outbox.held_bytes == 5
    assert [outbox.held_items(signal) for signal in SIGNALS] == [2, 5, 0]


def test_taken_batches_are_no_longer_in_the_outbox() -> None:
    outbox = outbox_of(batch(b"abc", items=2))

    outbox.take_all()

    assert (outbox.held_bytes, outbox.held_items(LOGS)) == (0, 0)


@pytest.mark.parametrize(("held", "is_nearly_full"), [(0, False), (74, False), (75, True), (100, True)])
def test_outbox_is_nearly_full_from_three_quarters_on(held: int, is_nearly_full: bool) -> None:
    assert outbox_of(batch(b"x" * held, items=held)).is_nearly_full is is_nearly_full


def test_oldest_batch_of_all_signals_is_dropped_to_make_room() -> None:
    ledger = Ledger()
    outbox = outbox_of(ledger=ledger, limit_bytes=10)
    outbox.put(batch(b"span", signal=SPANS, items=3))
    outbox.put(batch(b"log.."))

    outbox.put(batch(b"metr.", signal=METRICS))

    assert outbox.take_all() == [Batch(LOGS, b"log..", 1), Batch(METRICS, b"metr.", 1)]
    assert ledger.snapshot().of(SPANS) == Tally(SPANS, received=3, dropped={OUTBOX_FULL: 3})


def test_batch_larger_than_the_outbox_is_refused_and_no_other_dropped() -> None:
    ledger = Ledger()
    outbox = outbox_of(ledger=ledger, limit_bytes=10)
    outbox.put(batch(b"small"))

    is_taken = outbox.put(batch(b"x" * 11, items=7))

    assert not is_taken
    assert outbox.take_all() == [Batch(LOGS, b"small", 1)]
    assert ledger.snapshot().of(LOGS) == Tally(LOGS, received=8, held=8)


def test_batches_that_are_put_back_are_taken_first_in_their_order() -> None:
    outbox = outbox_of(batch(b"first"), batch(b"second"), request_bytes=6)
    taken = outbox.take_all()
    outbox.put(batch(b"third"))

    outbox.put_back(taken)

    assert [each.body for each in outbox.take_all()] == [b"first", b"second", b"third"]


def test_batches_that_are_put_back_are_not_counted_as_received_again() -> None:
    ledger = Ledger()
    outbox = outbox_of(ledger=ledger)
    outbox.put(batch(b"x", items=4))

    outbox.put_back(outbox.take_all())

    assert ledger.snapshot().of(LOGS) == Tally(LOGS, received=4, held=4)


def test_batch_that_is_put_back_into_a_full_outbox_is_dropped_as_the_oldest() -> None:
    ledger = Ledger()
    outbox = outbox_of(ledger=ledger, limit_bytes=10)
    outbox.put(batch(b"first"))
    taken = outbox.take_all()
    outbox.put(batch(b"second"))

    outbox.put_back(taken)

    assert outbox.take_all() == [Batch(LOGS, b"second", 1)]
    assert ledger.snapshot().of(LOGS).dropped == {OUTBOX_FULL: 1}


def test_batch_that_was_put_back_is_dropped_first_to_make_room() -> None:
    outbox = outbox_of(batch(b"first"), batch(b"second", signal=SPANS), limit_bytes=16)
    taken = [outbox.take(LOGS)]
    outbox.put_back(each for each in taken if each)

    outbox.put(batch(b"third.", signal=METRICS))

    assert [each.body for each in outbox.take_all()] == [b"second", b"third."]


def test_many_small_batches_need_little_memory_beyond_their_bodies() -> None:
    """The overhead of a batch does not count against the limit, so it has to be small compared with the body."""
    outbox = outbox_of(limit_bytes=1_000_000, request_bytes=1_000_000, items=10_000)
    tracemalloc.start()

    for number in range(2_000):
        outbox.put(batch(number.to_bytes(300, "big")))

    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used_bytes < 1.1 * outbox.held_bytes


_ITEM_BYTES = 8


class OutboxMachine(RuleBasedStateMachine):
    """Call the methods in any order. Every item carries its number, so that each loss and swap is detected."""

    limit_bytes = 400

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.outbox = Outbox(self.ledger, limit_bytes=self.limit_bytes, request_bytes=160, request_items=15)
        self.received = 0
        self.taken: list[Batch] = []
        self.last_delivered = dict.fromkeys(SIGNALS, -1)

    @rule(signal=st.sampled_from(SIGNALS), items=st.integers(0, 60))
    def put(self, signal: str, items: int) -> None:
        if not self.outbox.put(Batch(signal, _numbered(range(self.received, self.received + items)), items)):
            self.ledger.dropped(signal, items, "larger than the outbox")
        self.received += items

    @rule(signal=st.sampled_from(SIGNALS))
    def take(self, signal: str) -> None:
        if batch := self.outbox.take(signal):
            self.taken.append(batch)

    @rule()
    def take_all(self) -> None:
        self.taken += self.outbox.take_all()

    @rule()
    def put_back(self) -> None:
        self.outbox.put_back(self.taken)
        self.taken = []

    @rule()
    def deliver(self) -> None:
        for each in self.taken:
            self.ledger.delivered(each.signal, each.items)
            for number in _numbers(each.body):
                assert number > self.last_delivered[each.signal]
                self.last_delivered[each.signal] = number
        self.taken = []

    @invariant()
    def held_bytes_are_bounded(self) -> None:
        assert 0 <= self.outbox.held_bytes <= self.limit_bytes

    @invariant()
    def every_item_is_accounted_for(self) -> None:
        snapshot = self.ledger.snapshot()
        assert snapshot.is_exact
        assert sum(tally.received for tally in snapshot.tallies) == self.received
        for signal in SIGNALS:
            taken = sum(each.items for each in self.taken if each.signal == signal)
            assert snapshot.of(signal).held == self.outbox.held_items(signal) + taken


def _numbered(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(_ITEM_BYTES, "big") for number in numbers)


def _numbers(body: bytes) -> list[int]:
    return [int.from_bytes(body[at : at + _ITEM_BYTES], "big") for at in range(0, len(body), _ITEM_BYTES)]


TestAnyCalls = OutboxMachine.TestCase
TestAnyCalls.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.lists(st.tuples(st.sampled_from(SIGNALS), st.integers(1, 20)), max_size=60))
def test_requests_stay_within_the_limits(puts: list[tuple[str, int]]) -> None:
    outbox = outbox_of(limit_bytes=10_000, request_bytes=30, items=20)
    for signal, items in puts:
        outbox.put(Batch(signal, b"x" * items, items))

    taken = outbox.take_all()

    assert sum(each.items for each in taken) == sum(items for _, items in puts)
    assert max((each.items for each in taken), default=0) <= 20
