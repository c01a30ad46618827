"""Spools undelivered batches to disk, where the next process in this environment finds them.

If space is short, the oldest files are dropped and counted. Other files are removed after their batch was delivered,
dropped or stored elsewhere. A disk error is logged once; batches then stay in memory, and the next call tries again.
Nothing here raises. For the thread that has the ownership.
"""

import errno
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from telemetry_forwarder.buffer import spool_files
from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool_files import SET_ASIDE_LIMIT, SET_ASIDE_SUFFIX, on_disk
from telemetry_forwarder.buffer.spool_format import POSTS_BYTES, SpooledBatch, SpoolFile, SpoolFormat
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import POSTS, SIGNALS, Batch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.settings import PREFIX

SPOOL_FULL = "spool full"
SPOOL_DAMAGED = "spool file damaged"
SPOOL_GONE = "spool file gone"
SPOOL_TOO_LARGE = "spool file too large"

# More than the head of any file.
_HEAD_BYTES = 1_024


class Spool:
    """The files of one folder. Nothing accesses the disk before the first call; a limit of zero turns it off."""

    def __init__(
        self,
        folder: str,
        file_format: SpoolFormat,
        *,
        ledger: Ledger,
        clock: Clock,
        log: Diagnostics,
        limit_bytes: int,
        left_free_bytes: int = 16 * 1024 * 1024,
        largest_bytes: Mapping[str, int] | None = None,
    ) -> None:
        """*largest_bytes*: by signal, the largest body that is ever written. A larger file is not read."""
        self._path = folder
        self._format = file_format
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._limit_bytes = limit_bytes
        self.posts_bytes = min(POSTS_BYTES, limit_bytes // 8)
        """How much a file with several posts may hold: if space is short, it is dropped as a whole."""
        self._left_free_bytes = left_free_bytes
        self._largest_bytes = largest_bytes or {}
        self._queues: dict[str, deque[SpoolFile]] = {signal: deque() for signal in (*SIGNALS, POSTS)}
        """The files that can be taken, oldest first."""
        self._last_ordinal = 0
        self._files_bytes = 0
        self._set_aside_bytes = 0
        self._damaged_files = 0
        self._is_listed = False
        self._has_warned = False

    @property
    def used_bytes(self) -> int:
        """The space on disk, in whole blocks, including batches that were taken and files set aside."""
        return self._files_bytes + self._set_aside_bytes

    @property
    def waiting(self) -> int:
        """The number of batches that can be taken, as far as the names of the files show."""
        # Read at each step of the worker; a generator would cost five calls.
        return sum([len(self._queues[signal]) for signal in SIGNALS])

    @property
    def waiting_posts(self) -> int:
        """The number of files with posts that can be taken."""
        return len(self._queues[POSTS])

    def oldest(self, signal: str) -> SpoolFile | None:
        """Return the file that `take` would read; None if there is none."""
        queue = self._queues[signal]
        return queue[0] if queue else None

    def is_own(self, spooled: SpooledBatch) -> bool:
        """Return whether this process has spooled it."""
        return self._format.is_own(spooled.file)

    def has_room_for(self, batches: Iterable[Batch]) -> bool:
        """Return whether *batches* fit within the limit without removing other files."""
        needed = sum(on_disk(len(batch.body) + _HEAD_BYTES) for batch in batches)
        return self.used_bytes + needed <= self._limit_bytes

    def restore(self) -> None:
        """Find the files of earlier processes. Reads names only and creates nothing."""
        if self._limit_bytes and not self._is_listed:
            with self._disk_errors_logged("read"):
                # Earlier processes have ended, so a folder that is missing now needs no second look.
                with suppress(FileNotFoundError), self._folder():
                    pass
                self._is_listed = True

    def write(self, batches: Iterable[Batch], deadline: Deadline) -> list[Batch]:
        """Move batches from memory to disk; return those for which there was no room or no time.

        The deadline is checked before each file; a file of 4 MB takes about 4 ms of CPU.
        """
        left = list(batches)
        if self._limit_bytes and left:
            with self._disk_errors_logged("write to"):
                os.makedirs(self._path, 0o700, exist_ok=True)
                with self._folder() as folder:
                    left = [batch for batch in left if not self._is_written(folder, batch, deadline)]
        return left

    def take(self, signal: str) -> SpooledBatch | None:
        """Move the oldest batch of *signal* from disk to memory and return it; None if there is none, or none soon.

        Its file stays until `remove`: if the process dies before that, the next one finds the file again.
        """
        self.restore()
        queue = self._queues[signal]
        with self._disk_errors_logged("read"):
            # Not all of them if thousands are damaged: invocations may wait.
            for _ in range(min(len(queue), SET_ASIDE_LIMIT)):
                file = queue[0]
                if batch := self._read(file):
                    queue.popleft()
                    self._ledger.unspooled(batch.signal, batch.items)
                    return SpooledBatch(file, batch)
        return None

    def remove(self, spooled: SpooledBatch) -> None:
        """Remove the file of a batch that was delivered, dropped or stored elsewhere."""
        self._files_bytes -= on_disk(spooled.file.size_bytes)
        with self._disk_errors_logged("remove from"), suppress(FileNotFoundError), self._folder() as folder:
            spool_files.remove(folder, spooled.file.name)

    def put_back(self, spooled: SpooledBatch) -> None:
        """Make a batch that was not sent the oldest on disk again. Writes nothing: its file is still there."""
        self._ledger.spooled(spooled.batch.signal, spooled.batch.items)
        self._queues[spooled.file.signal].appendleft(spooled.file)

    @contextmanager
    def _disk_errors_logged(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                where = f"{PREFIX}SPOOL_DIR, {self._path[:200]}"
                self._log.warn(f"spool: cannot {verb} {where}: {error.strerror}; batches stay in memory")

    @contextmanager
    def _folder(self) -> Iterator[int]:
        with spool_files.open_folder(self._path) as folder:
            if not self._is_listed:
                self._is_listed = True
                self._list(folder)
            yield folder

    def _list(self, folder: int) -> None:
        foreign, too_large = [], []
        for name in sorted(os.listdir(folder)):
            if file := self._format.parse_name(name):
                self._add(file)
                self._ledger.restored(file.signal, file.items)
                if file.size_bytes > self._largest_bytes.get(file.signal, file.size_bytes) + _HEAD_BYTES:
                    too_large.append(name)
                    self._lose(self._queues[file.signal].pop(), SPOOL_TOO_LARGE)
            elif not name.endswith(SET_ASIDE_SUFFIX):
                foreign.append(name)
        self._set_aside(folder, too_large, "oversized")
        # More files than are kept would only cost time at start-up.
        self._set_aside(folder, foreign[:SET_ASIDE_LIMIT], "foreign")
        self._make_room(folder, 0)

    def _add(self, file: SpoolFile) -> None:
        self._queues[file.signal].append(file)
        self._files_bytes += on_disk(file.size_bytes)
        self._last_ordinal = max(self._last_ordinal, file.ordinal)

    def _is_written(self, folder: int, batch: Batch, deadline: Deadline) -> bool:
        if deadline.is_over():
            return False
        head = self._format.head(batch)
        # The clock may have been set back since the newest file was written.
        ordinal = max(self._clock.unix_ns(), self._last_ordinal + 1)
        file = self._format.new_file(ordinal, batch, len(head) + len(batch.body))
        with self._disk_errors_logged("write to"):
            # The function needs room on the disk, too.
            if spool_files.free_bytes(folder) < self._left_free_bytes + file.size_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._make_room(folder, file.size_bytes):
                spool_files.write_whole(folder, file, head, batch.body)
                self._add(file)
                self._ledger.spooled(batch.signal, batch.items)
                return True
        return False

    def _make_room(self, folder: int, size_bytes: int) -> bool:
        """Remove files that were set aside, then the oldest, but none that was taken; return whether it suffices."""
        most_bytes = self._limit_bytes - on_disk(size_bytes)
        if most_bytes < 0:
            return False
        if self.used_bytes > most_bytes and self._set_aside_bytes:
            self._set_aside_bytes = spool_files.trim_set_aside(folder, most_bytes - self._files_bytes)
        while self.used_bytes > most_bytes:
            waiting = [queue[0] for queue in self._queues.values() if queue]
            if not waiting:
                return False
            oldest = min(waiting, key=lambda file: file.ordinal)
            self._lose(self._queues[oldest.signal].popleft(), SPOOL_FULL)
            spool_files.remove(folder, oldest.name)
        return True

    def _read(self, file: SpoolFile) -> Batch | None:
        """Return the batch in *file*, the oldest of its signal; None if it is gone or damaged, and so is lost."""
        try:
            with self._folder() as folder:
                batch = self._format.decode(file, spool_files.read_whole(folder, file))
                if batch is None:
                    self._damaged_files += 1
                    if self._damaged_files <= SET_ASIDE_LIMIT:
                        self._set_aside(folder, [file.name], "half-written" if file.is_part else "damaged")
                    else:
                        # No more are kept, and to look through the folder for each would take quadratic time.
                        with suppress(OSError):
                            spool_files.remove(folder, file.name)
                    self._lose(self._queues[file.signal].popleft(), SPOOL_DAMAGED)
                return batch
        except FileNotFoundError:
            # The function may remove everything in /tmp.
            self._lose(self._queues[file.signal].popleft(), SPOOL_GONE)
        return None

    def _lose(self, file: SpoolFile, reason: str) -> None:
        self._files_bytes -= on_disk(file.size_bytes)
        self._ledger.unspooled(file.signal, file.items)
        self._ledger.dropped(file.signal, file.items, reason)

    def _set_aside(self, folder: int, names: Iterable[str], reason: str) -> None:
        for name in names:
            spool_files.set_aside(folder, name)
            self._log.warn(f"spool: set aside {reason} file {name}", once_a_minute="spool set aside")
        self._set_aside_bytes = spool_files.trim_set_aside(folder, self._limit_bytes // 16)
