"""Holds encoded batches until they are delivered: bounded in bytes, oldest out first, every drop counted.

Requests of one signal are joined by concatenation, up to the endpoint's limits and without decoding.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.core.batch import SIGNALS, Batch

OUTBOX_FULL = "outbox full"
LARGER_THAN_OUTBOX = "larger than the outbox"

_NEARLY_FULL = 0.75

# One log line per invocation makes batches of 300 bytes, and keeping one costs another 200. Joining
# small neighbours on arrival bounds that, at the price of one copy of at most this size per batch.
_SMALL_BYTES = 16_384


class _Held(NamedTuple):
    age: int
    """Smaller is older, over all signals."""
    body: bytes
    items: int


class Outbox:
    """What is held in memory. Bodies over all signals never exceed *limit_bytes*, after any call.

    What has been taken is the taker's until it is put back; the ledger goes on calling it held.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        limit_bytes: int = 16 * 1024 * 1024,
        request_bytes: int = 4 * 1024 * 1024,
        request_items: int = 10_000,
    ) -> None:
        self._ledger = ledger
        self._limit_bytes = limit_bytes
        self._request_bytes = request_bytes
        self._request_items = request_items
        self._held: dict[str, deque[_Held]] = {signal: deque() for signal in SIGNALS}
        self._items = dict.fromkeys(SIGNALS, 0)
        self._held_bytes = 0
        self._newest = 0
        self._oldest = 0

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def held_items(self, signal: str) -> int:
        return self._items[signal]

    @property
    def is_empty(self) -> bool:
        return not any(self._items.values())

    @property
    def is_nearly_full(self) -> bool:
        """Whether it is time to make room: three quarters of the bound are held."""
        return self._held_bytes >= self._limit_bytes * _NEARLY_FULL

    def has_room_for(self, batch: Batch) -> bool:
        """Whether nothing has to go for *batch*."""
        return self._held_bytes + len(batch.body) <= self._limit_bytes

    def put(self, batch: Batch) -> bool:
        """Take in a new batch and count it as received; the oldest go where there is no room for it.

        False where it is larger than all the room there is: then nothing goes for it, and it stays the caller's.
        """
        if not batch.items:
            return True
        self._ledger.received(batch.signal, batch.items)
        if len(batch.body) > self._limit_bytes:
            return False
        self._make_room(batch)
        self._newest += 1
        held = _Held(self._newest, batch.body, batch.items)
        line = self._held[batch.signal]
        if line and self._are_small(line[-1], held):
            last = line.pop()
            held = _Held(last.age, last.body + held.body, last.items + held.items)
        line.append(held)
        return True

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Take back, in their order, batches that were taken: they are again the oldest of all."""
        for batch in reversed(list(batches)):
            self._put_first(batch)

    def take(self, signal: str) -> Batch | None:
        """The oldest of *signal*, joined up to the limits of one request; None where nothing is held.

        A batch that exceeds the limits by itself comes alone: only its sender can split it.
        """
        line = self._held[signal]
        if not line:
            return None
        parts = [line[0].body]
        size, items = len(line[0].body), line[0].items
        line.popleft()
        while line and self._fits(size + len(line[0].body), items + line[0].items):
            part = line.popleft()
            parts.append(part.body)
            size += len(part.body)
            items += part.items
        self._held_bytes -= size
        self._items[signal] -= items
        return Batch(signal, b"".join(parts), items)

    def take_all(self) -> list[Batch]:
        """Everything, as requests; of each signal the oldest first."""
        batches: list[Batch] = []
        for signal in SIGNALS:
            while batch := self.take(signal):
                batches.append(batch)
        return batches

    def _put_first(self, batch: Batch) -> None:
        # The oldest go when there is no room, and nothing here is older than what comes back.
        if not self.has_room_for(batch):
            self._ledger.dropped(batch.signal, batch.items, OUTBOX_FULL)
            return
        self._oldest -= 1
        self._held[batch.signal].appendleft(_Held(self._oldest, batch.body, batch.items))
        self._count(batch)

    def _make_room(self, batch: Batch) -> None:
        while not self.has_room_for(batch):
            self._drop_oldest()
        self._count(batch)

    def _count(self, batch: Batch) -> None:
        self._held_bytes += len(batch.body)
        self._items[batch.signal] += batch.items

    def _drop_oldest(self) -> None:
        signal = min(
            (signal for signal, line in self._held.items() if line),
            key=lambda signal: self._held[signal][0].age,
        )
        oldest = self._held[signal].popleft()
        self._held_bytes -= len(oldest.body)
        self._items[signal] -= oldest.items
        self._ledger.dropped(signal, oldest.items, OUTBOX_FULL)

    def _are_small(self, last: _Held, held: _Held) -> bool:
        size = len(last.body) + len(held.body)
        return size <= _SMALL_BYTES and self._fits(size, last.items + held.items)

    def _fits(self, size: int, items: int) -> bool:
        return size <= self._request_bytes and items <= self._request_items
