"""Runs functions in threads and waits for their ends."""

import threading
from collections.abc import Callable

# So long that only a hang exceeds it.
LONG_S = 20.0


def in_threads(number: int, work: Callable[[], object]) -> list[threading.Thread]:
    """Start *number* threads that call *work*."""
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait until all *threads* have ended; fail if one hangs."""
    for thread in threads:
        thread.join(LONG_S)
    assert not any(thread.is_alive() for thread in threads)
