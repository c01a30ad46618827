"""Keeps the list of the spool's files that can be taken, and the space they need. Pure."""

from collections import deque

from telemetry_forwarder.buffer.spool_format import SpoolFile
from telemetry_forwarder.core.batch import POSTS, SIGNALS

_BLOCK_BYTES = 4_096


def on_disk(size_bytes: int) -> int:
    """Return the space that a file of *size_bytes* occupies: whole blocks."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


class SpoolIndex:
    """One queue of files for each signal and for posts, oldest first."""

    __slots__ = ("_last_ordinal", "_queues", "used_bytes")

    def __init__(self) -> None:
        self._queues: dict[str, deque[SpoolFile]] = {signal: deque() for signal in (*SIGNALS, POSTS)}
        self._last_ordinal = 0
        self.used_bytes = 0
        """The space of all files that were added and not removed, including those that were taken."""

    @property
    def batches(self) -> int:
        # Read at each step of the worker; a generator would cost five calls.
        return sum([len(self._queues[signal]) for signal in SIGNALS])

    @property
    def posts(self) -> int:
        return len(self._queues[POSTS])

    def new_ordinal(self, unix_ns: int) -> int:
        """Return *unix_ns*, or a greater number if the newest file is not older than that."""
        return max(unix_ns, self._last_ordinal + 1)

    def add(self, file: SpoolFile) -> None:
        """Add the newest file of its signal."""
        self._queues[file.signal].append(file)
        self.used_bytes += on_disk(file.size_bytes)
        self._last_ordinal = max(self._last_ordinal, file.ordinal)

    def oldest(self, signal: str) -> SpoolFile | None:
        queue = self._queues[signal]
        return queue[0] if queue else None

    def oldest_of_all(self) -> SpoolFile | None:
        oldest = [queue[0] for queue in self._queues.values() if queue]
        return min(oldest, key=lambda file: file.ordinal) if oldest else None

    def take(self, file: SpoolFile) -> None:
        """Take *file*, the oldest of its signal, out of its queue."""
        self._queues[file.signal].popleft()

    def put_back(self, file: SpoolFile) -> None:
        """Make *file*, which was taken, the oldest of its signal again."""
        self._queues[file.signal].appendleft(file)

    def removed(self, file: SpoolFile) -> None:
        """Release the space of *file*, which was taken."""
        self.used_bytes -= on_disk(file.size_bytes)
