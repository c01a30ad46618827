"""Holds encoded batches in memory until they are sent: bounded in bytes, oldest dropped first. No I/O.

Every drop is counted. Requests of one signal are joined by concatenation, without decoding, up to the endpoint's
limits.
"""

from collections import deque
from collections.abc import Iterable
from math import inf

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.core.batch import SIGNALS, Batch

OUTBOX_FULL = "outbox full"
LARGER_THAN_OUTBOX = "larger than the outbox"

_NEARLY_FULL = 0.75

# With one log line per invocation the overhead of a batch is nearly as large as its body. Joining small
# neighbours on arrival bounds that, at the cost of one copy of at most this size per batch.
_SMALL_BYTES = 16_384


class Outbox:
    """The bodies of all signals together never exceed *limit_bytes*.

    A batch that was taken belongs to the caller until it is put back; the ledger still counts it as held.
    """

    def __init__(self, ledger: Ledger, *, limit_bytes: int, request_bytes: int, request_items: int) -> None:
        self._ledger = ledger
        self._limit_bytes = limit_bytes
        self._request_bytes = request_bytes
        self._request_items = request_items
        self._queues: dict[str, deque[tuple[int, Batch]]] = {signal: deque() for signal in SIGNALS}
        """Each batch with its order: smaller is older, across all signals."""
        self._newest = 0
        self._oldest = 0
        self.held_bytes = 0

    def held_items(self, signal: str) -> int:
        return sum(batch.items for _, batch in self._queues[signal])

    @property
    def is_nearly_full(self) -> bool:
        """Whether it is time to make room: three quarters of the limit are in use."""
        return self.held_bytes >= self._limit_bytes * _NEARLY_FULL

    def has_room_for(self, batch: Batch) -> bool:
        """Return whether *batch* fits without dropping others."""
        return self.held_bytes + len(batch.body) <= self._limit_bytes

    def put(self, batch: Batch) -> bool:
        """Add a new batch and count it as received; drop the oldest ones if there is no room.

        Return False if it is larger than the limit: then nothing is dropped, and it still belongs to the caller.
        """
        if not batch.items:
            return True
        self._ledger.received(batch.signal, batch.items)
        if len(batch.body) > self._limit_bytes:
            return False
        while not self.has_room_for(batch):
            self._drop_oldest()
        self.held_bytes += len(batch.body)
        self._newest += 1
        order = self._newest
        queue = self._queues[batch.signal]
        if queue and self._are_small(queue[-1][1], batch):
            order, last = queue.pop()
            batch = Batch(batch.signal, last.body + batch.body, last.items + batch.items)
        queue.append((order, batch))
        return True

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Put back batches that were taken, in their order: they are the oldest again."""
        for batch in reversed(list(batches)):
            # The oldest are dropped if there is no room, and nothing here is older than this batch.
            if not self.has_room_for(batch):
                self._ledger.dropped(batch.signal, batch.items, OUTBOX_FULL)
                continue
            self._oldest -= 1
            self._queues[batch.signal].appendleft((self._oldest, batch))
            self.held_bytes += len(batch.body)

    def take(self, signal: str, *, already: tuple[int, int] = (0, 0), most_bytes: float = inf) -> Batch | None:
        """Take the oldest batches of *signal*, joined up to the limits of one request; None if there are none.

        *already*: bytes and items that are in that request. *most_bytes*: a smaller limit. A batch that
        exceeds the limits is returned if it is alone: the sender splits it.
        """
        queue = self._queues[signal]
        bodies: list[bytes] = []
        size = items = 0
        while queue:
            _, batch = queue[0]
            sum_bytes, sum_items = already[0] + size + len(batch.body), already[1] + items + batch.items
            is_alone = sum_items == batch.items
            if not is_alone and not (sum_bytes <= most_bytes and self.fits(sum_bytes, sum_items)):
                break
            queue.popleft()
            bodies.append(batch.body)
            size += len(batch.body)
            items += batch.items
        self.held_bytes -= size
        return Batch(signal, b"".join(bodies), items) if bodies else None

    def take_all(self) -> list[Batch]:
        """Take everything, joined to requests, the oldest of each signal first."""
        batches: list[Batch] = []
        for signal in SIGNALS:
            while batch := self.take(signal):
                batches.append(batch)
        return batches

    def _drop_oldest(self) -> None:
        queue = min([queue for queue in self._queues.values() if queue], key=lambda queue: queue[0][0])
        _, oldest = queue.popleft()
        self.held_bytes -= len(oldest.body)
        self._ledger.dropped(oldest.signal, oldest.items, OUTBOX_FULL)

    def _are_small(self, last: Batch, new: Batch) -> bool:
        size = len(last.body) + len(new.body)
        return size <= _SMALL_BYTES and self.fits(size, last.items + new.items)

    def joined(self, batches: Iterable[Batch]) -> list[Batch]:
        """Return *batches* joined up to the limits of one request, the oldest of each signal first."""
        found: dict[str, list[Batch]] = {}
        for batch in batches:
            joined = found.setdefault(batch.signal, [])
            if joined and self.fits(len(joined[-1].body) + len(batch.body), joined[-1].items + batch.items):
                last = joined.pop()
                batch = Batch(batch.signal, last.body + batch.body, last.items + batch.items)  # noqa: PLW2901
            joined.append(batch)
        return [batch for signal in found.values() for batch in signal]

    def fits(self, size: int, items: int) -> bool:
        """Return whether that many bytes and items fit into one request."""
        return size <= self._request_bytes and items <= self._request_items
