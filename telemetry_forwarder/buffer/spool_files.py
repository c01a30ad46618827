"""Accesses the disk for the spool: one private folder, whole files, and files that are set aside."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from telemetry_forwarder.buffer.spool_format import SpoolFile

SET_ASIDE_SUFFIX = ".set-aside"
SET_ASIDE_LIMIT = 16

_BLOCK_BYTES = 4_096
# A shortage of the process or the machine is not the file's fault: reading it again can succeed.
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
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
        status = os.fstat(folder)
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another user")
        if status.st_mode & 0o077:
            os.fchmod(folder, 0o700)
        yield folder
    finally:
        os.close(folder)


def write_whole(folder: int, file: SpoolFile, head: bytes, body: bytes) -> None:
    """Write *file* completely or not at all; raise OSError if it cannot be written.

    Without fsync: the page cache outlives the process, and this disk does not outlive the machine.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS
    part = os.open(file.part_name, flags, 0o600, dir_fd=folder)
    try:
        with open(part, "wb") as stream:
            stream.writelines((head, body))
        os.rename(file.part_name, file.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(file.part_name, dir_fd=folder)
        raise


def read_whole(folder: int, file: SpoolFile) -> bytes:
    """Return the contents of *file*, or nothing if it cannot be read or its size differs from the one in its name.

    Raises FileNotFoundError if it is gone, and OSError for a shortage. Never blocks: a pipe of that name is not read.
    """
    try:
        descriptor = os.open(file.name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINKS, dir_fd=folder)
        with open(descriptor, "rb", buffering=0) as stream:
            status = os.fstat(descriptor)
            is_whole = stat.S_ISREG(status.st_mode) and status.st_size == file.size_bytes
            return stream.readall() if is_whole else b""
    except OSError as error:
        if error.errno in _SHORTAGES or isinstance(error, FileNotFoundError):
            raise
        return b""


def remove(folder: int, name: str) -> None:
    """Remove a file, unless it is gone already."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def free_bytes(folder: int) -> int:
    disk = os.fstatvfs(folder)
    return disk.f_bavail * disk.f_frsize


def on_disk(size_bytes: int) -> int:
    """Return the space that a file of *size_bytes* occupies: whole blocks."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def set_aside(folder: int, name: str) -> None:
    """Rename the file *name*, so that it is kept for inspection; leave it in place if the disk refuses."""
    with suppress(OSError):
        os.rename(name, name + SET_ASIDE_SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)


def trim_set_aside(folder: int, limit_bytes: int) -> int:
    """Keep the newest files that are set aside, 16 at most and within *limit_bytes*; return their space.

    Files that the disk refuses to remove are not counted.
    """
    names = sorted([name for name in os.listdir(folder) if name.endswith(SET_ASIDE_SUFFIX)], reverse=True)
    used_bytes = 0
    for number, name in enumerate(names):
        with suppress(OSError):
            size_bytes = on_disk(os.stat(name, dir_fd=folder, follow_symlinks=False).st_size)
            if number < SET_ASIDE_LIMIT and used_bytes + size_bytes <= limit_bytes:
                used_bytes += size_bytes
            else:
                remove(folder, name)
    return used_bytes
