"""Keeps undelivered batches on disk, where the next life of this environment finds them.

Bounded, oldest out first; a file goes only after its batch was acknowledged. Whatever the disk does costs
the spool and is counted: nothing here raises. Only the worker uses it.
"""

import errno
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from telemetry_forwarder.buffer import spool_files
from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool_files import MOST_SET_ASIDE, SET_ASIDE, Aside, on_disk
from telemetry_forwarder.buffer.spool_format import SpoolFile, SpoolFormat
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import POSTS, SIGNALS, Batch
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.diagnostics import Diagnostics

SPOOL_FULL = "spool full"
SPOOL_DAMAGED = "spool file damaged"
SPOOL_GONE = "spool file gone"

# More than there is in a file before the body.
_MOST_HEAD_BYTES = 1_024
# What the process or the machine is short of is not the file's fault: it is worth another try.
_SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@frozen
class SpooledBatch:
    """A batch that is being sent while its file is still there."""

    file: SpoolFile
    batch: Batch


class Spool:
    """The files of one folder. Nothing touches the disk before the first call; zero bytes turn it off."""

    def __init__(
        self,
        folder: str,
        file_format: SpoolFormat,
        *,
        ledger: Ledger,
        clock: Clock,
        diagnostics: Diagnostics,
        limit_bytes: int = 64 * 1024 * 1024,
        left_free_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self._path = folder
        self._format = file_format
        self._ledger = ledger
        self._clock = clock
        self._diagnostics = diagnostics
        self._limit_bytes = limit_bytes
        self._left_free_bytes = left_free_bytes
        self._waiting: dict[str, deque[SpoolFile]] = {signal: deque() for signal in (*SIGNALS, POSTS)}
        self._batches_bytes = 0
        self._aside = Aside(limit_bytes // 16)
        self._ordinal = 0
        self._is_listed = False
        self._has_warned = False

    @property
    def used_bytes(self) -> int:
        """On disk, in whole blocks; what is being sent and what was set aside included."""
        return self._batches_bytes + self._aside.used_bytes

    @property
    def waiting(self) -> int:
        """Batches that can be taken to be sent, as far as the files' names tell."""
        # Asked at each step of the worker; a generator would be five calls.
        return sum([len(self._waiting[signal]) for signal in SIGNALS])

    @property
    def waiting_posts(self) -> int:
        """Posts that can be taken to be converted."""
        return len(self._waiting[POSTS])

    @property
    def set_aside(self) -> dict[str, int]:
        """Files that were set aside in this life, by reason: `damaged`, `half-written` or `foreign`."""
        return self._aside.counts

    def has_room_for(self, batches: Iterable[Batch]) -> bool:
        """Whether nothing has to go for *batches*, as far as we may use the disk."""
        needed = sum(on_disk(len(batch.body) + _MOST_HEAD_BYTES) for batch in batches)
        return self.used_bytes + needed <= self._limit_bytes

    def restore(self) -> None:
        """Find what an earlier life has left. Reads names only, and creates nothing."""
        if self._limit_bytes and not self._is_listed:
            with self._costing_only_the_spool("read"):
                try:
                    with self._folder():
                        pass
                except FileNotFoundError:
                    # Nor will an earlier life leave anything there from now on: it need not be looked for again.
                    self._is_listed = True

    def write(self, batches: Iterable[Batch], deadline: Deadline) -> list[Batch]:
        """Move batches from memory to disk, and return those for which there was no room or no time.

        The deadline is looked at before each file; a file of 4 MB takes about 4 ms of CPU.
        """
        left = list(batches)
        if not self._limit_bytes or not left:
            return left
        with self._costing_only_the_spool("write to"):
            os.makedirs(self._path, 0o700, exist_ok=True)
            with self._folder() as folder:
                left = [batch for batch in left if not self._is_written(folder, batch, deadline)]
        return left

    def take(self, signal: str) -> SpooledBatch | None:
        """The oldest batch of *signal* on disk, moved to memory to be sent; None where there is none.

        Its file stays until `done`: a process that dies while it sends finds the file again.
        """
        self.restore()
        entry = None
        if self._waiting[signal]:
            with self._costing_only_the_spool("read"):
                entry = self._oldest(self._waiting[signal])
        return entry

    def done(self, entry: SpooledBatch) -> None:
        """The fate of all of *entry* is known, or is now in other hands: its file can go."""
        self._batches_bytes -= on_disk(entry.file.size_bytes)
        with (
            self._costing_only_the_spool("remove from"),
            suppress(FileNotFoundError),
            self._folder() as folder,
        ):
            spool_files.remove(folder, entry.file.name)

    def put_back(self, entry: SpooledBatch) -> None:
        """*entry* was not sent: it is again the oldest on disk. Nothing is written, for its file is there."""
        self._ledger.spooled(entry.batch.signal, entry.batch.items)
        self._waiting[entry.file.signal].appendleft(entry.file)

    @contextmanager
    def _costing_only_the_spool(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._warn_once(verb, error)

    def _warn_once(self, verb: str, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._diagnostics.warn(
                f"spool: cannot {verb} {self._path}: {error.strerror}; going on without it"
            )

    @contextmanager
    def _folder(self) -> Iterator[int]:
        with spool_files.opened(self._path) as folder:
            if not self._is_listed:
                self._is_listed = True
                self._list(folder)
            yield folder

    def _list(self, folder: int) -> None:
        foreign = []
        for name in sorted(os.listdir(folder)):
            if name.endswith(SET_ASIDE):
                self._aside.keep(folder, name)
            elif file := self._format.file(name):
                self._wait(file)
                self._ledger.restored(file.signal, file.items)
            else:
                foreign.append(name)
        # More than are kept aside are somebody's doing, and not worth the time of a start.
        for name in foreign[:MOST_SET_ASIDE]:
            self._set_aside(folder, name, "foreign")
        self._has_room(folder, 0)

    def _is_written(self, folder: int, batch: Batch, deadline: Deadline) -> bool:
        if deadline.is_over():
            return False
        contents = self._format.contents(batch)
        ordinal = max(self._clock.unix_ns(), self._ordinal + 1)
        file = self._format.new_file(ordinal, batch, contents.size_bytes)
        try:
            # The function must not find the disk full because of us.
            if spool_files.free_bytes(folder) < self._left_free_bytes + file.size_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if not self._has_room(folder, file.size_bytes):
                return False
            spool_files.write_whole(folder, file, contents)
        except OSError as error:
            self._warn_once("write to", error)
            return False
        self._wait(file)
        self._ledger.spooled(batch.signal, batch.items)
        return True

    def _wait(self, file: SpoolFile) -> None:
        self._waiting[file.signal].append(file)
        self._batches_bytes += on_disk(file.size_bytes)
        self._ordinal = max(self._ordinal, file.ordinal)

    def _has_room(self, folder: int, size_bytes: int) -> bool:
        """Make room: what was set aside goes first, then the oldest, never what is being sent."""
        needed = on_disk(size_bytes)
        while needed <= self._limit_bytes < self.used_bytes + needed:
            if len(self._aside):
                self._aside.remove_oldest(folder)
            elif self.waiting or self.waiting_posts:
                heads = (line[0] for line in self._waiting.values() if line)
                oldest = min(heads, key=lambda file: file.ordinal)
                self._waiting[oldest.signal].popleft()
                self._lose(oldest, SPOOL_FULL)
                spool_files.remove(folder, oldest.name)
            else:
                return False
        return needed <= self._limit_bytes

    def _oldest(self, line: deque[SpoolFile]) -> SpooledBatch | None:
        try:
            with self._folder() as folder:
                while line:
                    entry = self._opened(folder, line[0])
                    line.popleft()
                    if entry:
                        return entry
        except FileNotFoundError:
            while line:
                self._lose(line.popleft(), SPOOL_GONE)
        return None

    def _opened(self, folder: int, file: SpoolFile) -> SpooledBatch | None:
        batch = None
        try:
            batch = self._format.batch(file, spool_files.read_whole(folder, file))
        except FileNotFoundError:
            self._lose(file, SPOOL_GONE)
            return None
        except OSError as error:
            if error.errno in _SHORT_OF:
                raise
        if batch is None:
            self._lose(file, SPOOL_DAMAGED)
            self._set_aside(folder, file.name, "half-written" if file.is_part else "damaged")
            return None
        self._ledger.unspooled(batch.signal, batch.items)
        return SpooledBatch(file, batch)

    def _lose(self, file: SpoolFile, reason: str) -> None:
        self._batches_bytes -= on_disk(file.size_bytes)
        self._ledger.unspooled(file.signal, file.items)
        self._ledger.dropped(file.signal, file.items, reason)

    def _set_aside(self, folder: int, name: str, reason: str) -> None:
        self._aside.put(folder, name, reason)
        self._diagnostics.warn(f"spool: set aside {reason} file {name}", once_a_minute="spool set aside")
