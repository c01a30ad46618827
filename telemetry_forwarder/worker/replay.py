"""Converts the posts that an earlier process of the environment spooled raw.

A file is removed only after its batches are on disk: a process killed while replaying spooled posts loses none.
"""

from collections.abc import Callable

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool, SpooledBatch
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import POSTS, Batch


class Replay:
    """Converts whole posts, in the order in which they were spooled."""

    def __init__(
        self, converter: Converter, spool: Spool, store: Store, *, ledger: Ledger, clock: Clock
    ) -> None:
        self._converter = converter
        self._spool = spool
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self.has_more = False
        """Whether posts remain to be converted by this process."""

    def restore(self) -> None:
        """Look for spooled posts."""
        self._spool.restore()
        self.has_more = self._spool.waiting_posts > 0

    def convert_next(self, has_time_for: Callable[[int], bool], *, is_last_chance: bool = False) -> int:
        """Convert the oldest post and return its size in bytes, or 0 if there is none.

        A post of *n* bytes stays on disk if `has_time_for(n)` is false, and so do all after it. With *is_last_chance*
        the batches stay in memory, because the disk is about to be deleted.
        """
        entry = self._spool.take(POSTS)
        if entry is not None and not has_time_for(len(entry.batch.body)):
            self._spool.put_back(entry)
            entry = None
        # A file that cannot be read now is left to the next process.
        self.has_more = entry is not None and self._spool.waiting_posts > 0
        if entry is None:
            return 0
        batches = self._converted(entry)
        if is_last_chance or not self._spool.has_room_for(batches):
            self._store.put(batches)
        else:
            self._write(batches)
        self._spool.remove(entry)
        return len(entry.batch.body)

    def _converted(self, entry: SpooledBatch) -> list[Batch]:
        try:
            batches = self._converter.convert_spooled(entry.batch.body, entry.file.ordinal)
        except Exception as exc:  # noqa: BLE001  # a defect must not fail again in every later process
            self._ledger.dropped(POSTS, 1, f"failed with {type(exc).__name__}")
            return []
        self._ledger.delivered(POSTS, 1)
        return batches

    def _write(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._ledger.received(batch.signal, batch.items)
        self._store.put_back(batches, Deadline.after(SPOOL_RESERVE_S, self._clock))
