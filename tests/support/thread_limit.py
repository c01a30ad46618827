"""Limits the number of threads, as Lambda does, of this process or of another."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Less than the stack of a thread, and enough for everything else.
_MARGIN_BYTES = 4 * 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def no_thread_starts(only: str = "", *, times: int = 1_000) -> Iterator[None]:
    """Let no thread of this process start, or only none of the name *only*, that often."""
    start = threading.Thread.start
    errors = [RuntimeError("can't start new thread")] * times

    def fail(thread: threading.Thread) -> None:
        if errors and only in ("", thread.name):
            raise errors.pop()
        start(thread)

    threading.Thread.start = fail  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]


@contextmanager
def no_room_for_stacks(pid: int) -> Iterator[None]:
    """Limit the address space of a process to what it has, so that a new thread gets no stack."""
    with open(f"/proc/{pid}/statm") as statm:
        used_bytes = int(statm.read().split()[0]) * _PAGE_BYTES
    with open(f"/proc/{pid}/limits") as limits:
        before = next(line.split()[3] for line in limits if line.startswith("Max address space"))
    _limit_address_space(pid, str(used_bytes + _MARGIN_BYTES))
    try:
        yield
    finally:
        _limit_address_space(pid, before)


def _limit_address_space(pid: int, soft: str) -> None:
    # Only the user of a process may limit it.
    owner = os.stat(f"/proc/{pid}")
    is_ours = owner.st_uid == os.geteuid()
    subprocess.run(
        ["prlimit", f"--pid={pid}", f"--as={soft}:"],
        user=None if is_ours else owner.st_uid,
        group=None if is_ours else owner.st_gid,
        check=True,
    )
