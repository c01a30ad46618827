"""Holds encoded batches in memory until they are sent: bounded in bytes, oldest dropped first. Pure.

Every drop is counted. Requests of one signal are joined by concatenation, without decoding, up to the endpoint's
limits.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.core.batch import SIGNALS, Batch

OUTBOX_FULL = "outbox full"
LARGER_THAN_OUTBOX = "larger than the outbox"

_NEARLY_FULL = 0.75

# With one log line per invocation the overhead of a batch is nearly as large as its body. Joining small
# neighbours on arrival bounds that, at the cost of one copy of at most this size per batch.
_SMALL_BYTES = 16_384


class _Held(NamedTuple):
    order: int
    """Smaller is older, across all signals."""
    body: bytes
    items: int


class Outbox:
    """The bodies of all signals together never exceed *limit_bytes*.

    A batch that was taken belongs to the caller until it is put back; the ledger still counts it as held.
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
    def is_nearly_full(self) -> bool:
        """Whether it is time to make room: three quarters of the limit are in use."""
        return self._held_bytes >= self._limit_bytes * _NEARLY_FULL

    def has_room_for(self, batch: Batch) -> bool:
        """Return whether *batch* fits without dropping others."""
        return self._held_bytes + len(batch.body) <= self._limit_bytes

    def put(self, batch: Batch) -> bool:
        """Add a new batch and count it as received; drop the oldest ones if there is no room.

        Return False if it is larger than the limit: then nothing is dropped, and it still belongs to the caller.
        """
        if not batch.items:
            return True
        self._ledger.received(batch.signal, batch.items)
        if len(batch.body) > self._limit_bytes:
            return False
        self._make_room(batch)
        self._newest += 1
        held = _Held(self._newest, batch.body, batch.items)
        queue = self._held[batch.signal]
        if queue and self._are_small(queue[-1], held):
            last = queue.pop()
            held = _Held(last.order, last.body + held.body, last.items + held.items)
        queue.append(held)
        return True

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Put back batches that were taken, in their order: they are the oldest again."""
        for batch in reversed(list(batches)):
            self._put_first(batch)

    def take(self, signal: str) -> Batch | None:
        """Take the oldest batches of *signal*, joined up to the limits of one request; None if there are none.

        A batch that exceeds the limits is returned alone: the sender splits it.
        """
        queue = self._held[signal]
        if not queue:
            return None
        parts = [queue[0].body]
        size, items = len(queue[0].body), queue[0].items
        queue.popleft()
        while queue and self._fits(size + len(queue[0].body), items + queue[0].items):
            part = queue.popleft()
            parts.append(part.body)
            size += len(part.body)
            items += part.items
        self._held_bytes -= size
        self._items[signal] -= items
        return Batch(signal, b"".join(parts), items)

    def take_all(self) -> list[Batch]:
        """Take everything, joined to requests, the oldest of each signal first."""
        batches: list[Batch] = []
        for signal in SIGNALS:
            while batch := self.take(signal):
                batches.append(batch)
        return batches

    def _put_first(self, batch: Batch) -> None:
        # The oldest are dropped if there is no room, and nothing here is older than this batch.
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
            (signal for signal, queue in self._held.items() if queue),
            key=lambda signal: self._held[signal][0].order,
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
