"""Waiting for something that another thread or process does."""

import time
from collections.abc import Callable
from pathlib import Path

# Longer than a busy machine takes: only a broken program reaches it.
_LIMIT_S = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Block until *condition* holds; fail the test if it never does."""
    deadline_s = time.monotonic() + _LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition never became true"
        time.sleep(0.002)


def is_dead(pid: int) -> bool:
    """Whether the process is gone, or a zombie that its new parent has not reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
