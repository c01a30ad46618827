"""Converts posts that are on disk: those of an earlier process, and those that this one had no time to convert.

A file is removed only after its batches are stored: on disk, if the post is of an earlier process, so that a process
that is killed meanwhile loses none; in memory, if it is of this one, or if the disk is full or about to be removed.
"""

from collections import deque
from collections.abc import Collection
from itertools import islice

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpooledBatch, batches_of_posts, posts_of
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
        """What is being converted: one post or several. The file is still on disk."""
        self._bodies: deque[Body] = deque()
        """Its posts that are not converted yet; the first may be in parts."""
        self._posts = 0
        self._batches: list[Batch] = []
        self._failures: list[str] = []
        self.has_posts = False
        """Whether a post may be taken, or is partly converted."""

    def restore(self) -> None:
        """Look for posts that an earlier process spooled."""
        self._spool.restore()
        self.has_posts = self._spool.waiting_posts > 0

    @property
    def has_own(self) -> bool:
        """Whether posts of this process are waiting, or one of them is being converted."""
        self._has_own &= self._spool.waiting_posts > 0 or self._is_own
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
            self._bodies = deque([Body(content, entry.file.ordinal) for content in posts_of(entry.batch)])
            self._posts = len(self._bodies)
            self._batches = []
            self._failures = []
        return self._bodies[0]

    def convert(self, deadline: Deadline, *, is_last_chance: bool) -> ConversionResult:
        """Convert a slice of `next_body`. If it was the last one of its file, store the batches and remove the file."""
        body = self._bodies[0]
        try:
            # The invocations of our own posts are known.
            result = self._converter.convert(body, is_of_earlier_process=not self._is_own)
        except Exception as exc:  # noqa: BLE001  # a defect must not fail again in every later process
            self._failures.append(f"failed with {type(exc).__name__}")
            result = ConversionResult(len(body.content))
        self._batches += result.batches
        body.at = result.next_at
        if not body.left_bytes:
            # At the last chance the disk is about to be deleted.
            self._end_body(deadline, in_memory=self._is_own or is_last_chance)
        return result

    def skip(self, deadline: Deadline) -> None:
        """Leave `next_body` out without converting it: it was received twice."""
        self._end_body(deadline, in_memory=self._is_own)

    def stop(self, deadline: Deadline) -> None:
        """Store what is converted of a file, and leave the rest of it on disk, to the next process."""
        if self._entry is not None and (self._bodies[0].at or len(self._bodies) < self._posts):
            self._finish(deadline, in_memory=True)
        elif self._entry is not None:
            self._spool.put_back(self._entry)
            self._entry = None
        self.has_posts = False

    def spool_oldest(self, bodies: deque[Body], deadline: Deadline) -> int:
        """Spool the oldest of *bodies* raw, and those that fit into the same file; return their size."""
        size_bytes = bodies[0].left_bytes
        oldest = [bodies[0]]
        for body in islice(bodies, 1, None):
            if size_bytes + body.left_bytes > self._spool.posts_bytes:
                break
            size_bytes += body.left_bytes
            oldest.append(body)
        # First what may fail for lack of memory: until then *bodies* are complete.
        batches = self._raw(oldest)
        for _ in oldest:
            bodies.popleft()
        self._write(batches, deadline)
        return size_bytes

    def spool(self, bodies: Collection[Body], deadline: Deadline) -> None:
        """Spool the rest of each of *bodies*; count as dropped those for which there is no room on disk or no time."""
        self._write(self._raw(bodies), deadline)

    def _raw(self, bodies: Collection[Body]) -> list[Batch]:
        contents = [b"[" + body.content[body.at :] if body.at else body.content for body in bodies]
        return list(batches_of_posts(contents, self._spool.posts_bytes))

    def _write(self, batches: list[Batch], deadline: Deadline) -> None:
        self._ledger.received(POSTS, sum(batch.items for batch in batches))
        left = self._spool.write(batches, deadline)
        if left:
            self._ledger.dropped(POSTS, sum(batch.items for batch in left), NOT_SPOOLED)
        self._has_own |= len(left) < len(batches)

    @property
    def _is_own(self) -> bool:
        return self._entry is not None and self._spool.is_own(self._entry)

    def _end_body(self, deadline: Deadline, *, in_memory: bool) -> None:
        self._bodies.popleft()
        if not self._bodies:
            self._finish(deadline, in_memory=in_memory)

    def _finish(self, deadline: Deadline, *, in_memory: bool) -> None:
        entry = self._entry
        assert entry is not None
        if in_memory:
            self._store.put(self._batches)
        else:
            self._store.put_on_disk(self._batches, deadline)
        if self._bodies:
            self.spool(self._bodies, deadline)
        for failure in self._failures:
            self._ledger.dropped(POSTS, 1, failure)
        self._ledger.delivered(POSTS, entry.batch.items - len(self._failures))
        self._spool.remove(entry)
        self._entry = None
        self.has_posts = self._spool.waiting_posts > 0
