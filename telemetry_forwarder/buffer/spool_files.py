"""Accesses the disk for the spool: one private folder, whole files, and files that were set aside."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from telemetry_forwarder.buffer.spool_format import Contents, SpoolFile
from telemetry_forwarder.buffer.spool_index import on_disk

SET_ASIDE_SUFFIX = ".set-aside"
SET_ASIDE_LIMIT = 16

_NO_LINKS = os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_folder(path: str) -> Iterator[int]:
    """Open the folder at *path* and make it private; raise OSError if it is not ours.

    Open it anew for each access: the function may remove everything in /tmp at any time. What is done through
    the descriptor is done in the folder that was checked, even if *path* changes meanwhile.
    """
    # With a slash at the end of the path, O_NOFOLLOW would follow its last link.
    folder = os.open(os.path.normpath(path), os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS)
    try:
        _make_private(folder)
        yield folder
    finally:
        os.close(folder)


def _make_private(folder: int) -> None:
    status = os.fstat(folder)
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if status.st_mode & 0o077:
        os.fchmod(folder, 0o700)


def write_whole(folder: int, file: SpoolFile, contents: Contents) -> None:
    """Write *file* completely or not at all; raise OSError if it cannot be written.

    Without fsync: the page cache outlives the process, and this disk does not outlive the machine.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS
    part = os.open(file.part_name, flags, 0o600, dir_fd=folder)
    try:
        with open(part, "wb", buffering=0) as stream:
            for section in (contents.head, contents.body):
                view = memoryview(section)
                while view:
                    view = view[stream.write(view) :]
        os.rename(file.part_name, file.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(file.part_name, dir_fd=folder)
        raise


def read_whole(folder: int, file: SpoolFile) -> bytes:
    """Return the contents of *file*, or nothing if its size differs from the one in its name.

    Raises OSError. Never blocks: a pipe of that name is not read.
    """
    descriptor = os.open(file.name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINKS, dir_fd=folder)
    with open(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
            return b""
        return stream.readall()


def remove(folder: int, name: str) -> None:
    """Remove a file, unless it is gone already."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def free_bytes(folder: int) -> int:
    """Return the free space of the disk."""
    disk = os.fstatvfs(folder)
    return disk.f_bavail * disk.f_frsize


class SetAsideFiles:
    """Files that cannot be sent, renamed and kept for inspection. Bounded, oldest out first."""

    __slots__ = ("_files", "_limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._files: deque[tuple[str, int]] = deque()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._files)

    def rename(self, folder: int, name: str) -> None:
        """Set the file *name* aside; leave it in place if the disk refuses."""
        with suppress(OSError):
            os.rename(name, name + SET_ASIDE_SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
            self.add(folder, name + SET_ASIDE_SUFFIX)

    def add(self, folder: int, name: str) -> None:
        """Add a file that is already renamed."""
        with suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            self._files.append((name, on_disk(status.st_size)))
            self.used_bytes += on_disk(status.st_size)
            while len(self._files) > SET_ASIDE_LIMIT or self.used_bytes > self._limit_bytes:
                self.remove_oldest(folder)

    def remove_oldest(self, folder: int) -> None:
        """Remove the oldest file, or only forget it if the disk refuses."""
        name, size_bytes = self._files.popleft()
        self.used_bytes -= size_bytes
        with suppress(OSError):
            remove(folder, name)
