"""Converts posts that are on disk: those of an earlier process, and those that this one had no time to convert.

A file is removed only after its batches are stored: on disk, if the post is of an earlier process, so that a process
that is killed meanwhile loses none; in memory, if it is of this one, or if the disk is full or about to be removed.
"""

from collections.abc import Sequence

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpooledBatch
from telemetry_forwarder.buffer.store import NOT_SPOOLED, Store
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import POSTS, Batch
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.worker.shared_converter import SharedConverter


class Replay:
    """Reads the oldest post first, and converts it slice by slice. For the thread that has the ownership."""

    def __init__(self, converter: SharedConverter, store: Store, spool: Spool, *, ledger: Ledger) -> None:
        self._converter = converter
        self._store = store
        self._spool = spool
        self._ledger = ledger
        self._has_own = False
        self._entry: SpooledBatch | None = None
        """The post that is being converted; its file is still on disk."""
        self._body = Body(b"", 0)
        self._batches: list[Batch] = []
        self._failure = ""
        self.has_posts = False
        """Whether a post may be taken, or is partly converted."""

    def restore(self) -> None:
        """Look for posts that an earlier process spooled."""
        self._spool.restore()
        self.has_posts = self._spool.waiting_posts > 0

    @property
    def has_own(self) -> bool:
        """Whether posts of this process are waiting."""
        self._has_own &= self._spool.waiting_posts > 0
        return self._has_own

    def next_body(self) -> Body | None:
        """Return the post to convert next, or its rest; None if there is none, or the oldest cannot be read now."""
        if self._entry is None:
            waiting = self._spool.waiting_posts
            self._entry = entry = self._spool.take(POSTS)
            # If files were damaged, others follow. One that cannot be read now is left to the next process.
            self.has_posts = entry is not None or 0 < self._spool.waiting_posts < waiting
            if entry is None:
                return None
            self._body = Body(entry.batch.body, entry.file.ordinal)
            self._batches = []
            self._failure = ""
        return self._body

    def convert(self, deadline: Deadline, *, is_last_chance: bool) -> ConversionResult:
        """Convert a slice of `next_body`. If it was the last one, store the batches and remove the file."""
        body, is_own = self._body, self._entry is not None and self._spool.is_own(self._entry)
        try:
            # The invocations of our own posts are known.
            result = self._converter.convert(body, is_of_earlier_process=not is_own)
        except Exception as exc:  # noqa: BLE001  # a defect must not fail again in every later process
            self._failure = f"failed with {type(exc).__name__}"
            result = ConversionResult(len(body.content))
        self._batches += result.batches
        body.at = result.next_at
        if not body.left_bytes:
            # At the last chance the disk is about to be deleted.
            self._finish(deadline, in_memory=is_own or is_last_chance)
        return result

    def skip(self, deadline: Deadline) -> None:
        """Remove `next_body` without converting it: it was received twice."""
        self._body.at = len(self._body.content)
        self._finish(deadline, in_memory=True)

    def stop(self, deadline: Deadline) -> None:
        """Store what is converted of a post, and leave the rest of it on disk, to the next process."""
        if self._entry is not None and self._body.at:
            self._finish(deadline, in_memory=True)
        elif self._entry is not None:
            self._spool.put_back(self._entry)
            self._entry = None
        self.has_posts = False

    def spool(self, bodies: Sequence[Body], deadline: Deadline) -> None:
        """Spool the rest of each of *bodies*; count as dropped those for which there is no room on disk or no time."""
        self._ledger.received(POSTS, len(bodies))
        batches = [Batch(POSTS, b"[" + body.content[body.at :] if body.at else body.content, 1) for body in bodies]
        left = self._spool.write(batches, deadline)
        if left:
            self._ledger.dropped(POSTS, len(left), NOT_SPOOLED)
        self._has_own |= len(left) < len(batches)

    def _finish(self, deadline: Deadline, *, in_memory: bool) -> None:
        entry = self._entry
        assert entry is not None
        if in_memory or not self._spool.has_room_for(self._batches):
            self._store.put(self._batches)
        else:
            for batch in self._batches:
                self._ledger.received(batch.signal, batch.items)
            self._store.put_back(self._batches, deadline)
        if self._body.left_bytes:
            self.spool([self._body], deadline)
        if self._failure:
            self._ledger.dropped(POSTS, 1, self._failure)
        else:
            self._ledger.delivered(POSTS, 1)
        self._spool.remove(entry)
        self._entry = None
        self.has_posts = self._spool.waiting_posts > 0
