"""Converts the posts that an earlier process of the environment spooled raw.

A file is removed only after its batches are on disk: a process killed while replaying spooled posts loses none.
"""

from collections.abc import Callable

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool, SpooledBatch
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import POSTS, Batch


class Replay:
    """Converts one whole post after the other, in the order in which they were spooled."""

    def __init__(self, conversion: Converter, spool: Spool, ledger: Ledger, clock: Clock) -> None:
        self._conversion = conversion
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self.has_more = False
        """Whether posts remain to be converted by this process."""

    def restore(self) -> None:
        """Look for spooled posts."""
        self._spool.restore()
        self.has_more = self._spool.waiting_posts > 0

    def convert_next(
        self, *, has_time_for: Callable[[int], bool] = lambda _size: True, is_last_chance: bool = False
    ) -> list[Batch]:
        """Convert the next post and spool its batches; return those that must stay in memory.

        They stay in memory if the disk has no room for them or, with *is_last_chance*, is about to be deleted. A post
        of *n* bytes for which `has_time_for(n)` is false is left on disk, and so are all after it.
        """
        entry = self._spool.take(POSTS)
        if entry is not None and not has_time_for(len(entry.batch.body)):
            self._spool.put_back(entry)
            entry = None
        # A file that cannot be read now is left to the next process.
        self.has_more = entry is not None and self._spool.waiting_posts > 0
        if entry is None:
            return []
        batches = self._convert(entry)
        if not is_last_chance and self._spool.has_room_for(batches):
            batches = self._write(batches)
        self._spool.remove(entry)
        return batches

    def _convert(self, entry: SpooledBatch) -> list[Batch]:
        try:
            batches = self._conversion.take_in_past(entry.batch.body, entry.file.ordinal)
        except Exception as exc:
            # A defect of the extension. A file left in place would fail in every later process as well.
            self._ledger.dropped(POSTS, 1, f"failed with {type(exc).__name__}")
            return []
        self._ledger.delivered(POSTS, 1)
        return batches

    def _write(self, batches: list[Batch]) -> list[Batch]:
        """Spool *batches*; return those that the disk does not accept."""
        for batch in batches:
            self._ledger.received(batch.signal, batch.items)
        unwritten = self._spool.write(batches, Deadline.after(SPOOL_RESERVE_S, self._clock))
        for batch in unwritten:
            # The store counts them when it accepts them.
            self._ledger.received(batch.signal, -batch.items)
        return unwritten
