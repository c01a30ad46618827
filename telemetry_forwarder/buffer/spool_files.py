"""The spool's only way to the disk: one private folder, whole files, and the files set aside in it."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from telemetry_forwarder.buffer.spool_format import Contents, SpoolFile

SET_ASIDE = ".set-aside"
MOST_SET_ASIDE = 16

_BLOCK_BYTES = 4_096
_NEVER_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(path: str) -> Iterator[int]:
    """The folder at *path*, for one visit: between two of them the function may clear all of /tmp.

    What is done through it is done in the folder that was checked, whatever *path* becomes meanwhile.
    """
    # With a slash at the end of the path, O_NOFOLLOW would follow its last link.
    folder = os.open(os.path.normpath(path), os.O_RDONLY | os.O_DIRECTORY | _NEVER_FOLLOW)
    try:
        _keep_private(folder)
        yield folder
    finally:
        os.close(folder)


def _keep_private(folder: int) -> None:
    status = os.fstat(folder)
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if status.st_mode & 0o077:
        os.fchmod(folder, 0o700)


def write_whole(folder: int, file: SpoolFile, contents: Contents) -> None:
    """Write a file that is there whole or not at all; raises OSError.

    No fsync: the page cache outlives the process, and this disk does not outlive the machine.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NEVER_FOLLOW
    part = os.open(file.part_name, flags, 0o600, dir_fd=folder)
    try:
        with open(part, "wb", buffering=0) as stream:
            for piece in (contents.head, contents.body):
                view = memoryview(piece)
                while view:
                    view = view[stream.write(view) :]
        os.rename(file.part_name, file.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(file.part_name, dir_fd=folder)
        raise


def read_whole(folder: int, file: SpoolFile) -> bytes:
    """The contents of *file*; nothing where it is not as long as it says.

    Raises OSError, never waits: a pipe of that name is no file.
    """
    descriptor = os.open(file.name, os.O_RDONLY | os.O_NONBLOCK | _NEVER_FOLLOW, dir_fd=folder)
    with open(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
            return b""
        return stream.readall()


def remove(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def free_bytes(folder: int) -> int:
    disk = os.fstatvfs(folder)
    return disk.f_bavail * disk.f_frsize


def on_disk(size_bytes: int) -> int:
    """What a file of that size takes: the disk gives whole blocks."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


class Aside:
    """Files that are not for us to send, renamed and kept for whoever looks: few, oldest out first."""

    __slots__ = ("_counts", "_files", "_limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._files: deque[tuple[str, int]] = deque()
        self._counts: dict[str, int] = {}
        self.used_bytes = 0

    @property
    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    def __len__(self) -> int:
        return len(self._files)

    def put(self, folder: int, name: str, reason: str) -> None:
        """Set *name* aside and count it. A disk that does not let us leaves it where it is."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        with suppress(OSError):
            os.rename(name, name + SET_ASIDE, src_dir_fd=folder, dst_dir_fd=folder)
            self.keep(folder, name + SET_ASIDE)

    def keep(self, folder: int, name: str) -> None:
        """Take in a file that is already set aside."""
        with suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            self._files.append((name, on_disk(status.st_size)))
            self.used_bytes += on_disk(status.st_size)
            while len(self._files) > MOST_SET_ASIDE or self.used_bytes > self._limit_bytes:
                self.remove_oldest(folder)

    def remove_oldest(self, folder: int) -> None:
        """Remove it, or forget it where the disk does not let us."""
        name, size_bytes = self._files.popleft()
        self.used_bytes -= size_bytes
        with suppress(OSError):
            remove(folder, name)
