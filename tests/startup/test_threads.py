import threading
from typing import Any

import pytest

from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.startup.threads import start_thread


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("can't start new thread"), "can't start new thread"), (MemoryError(), "no memory for a thread")],
)
def test_thread_that_cannot_start_is_tried_again(error: Exception, reason: str) -> None:
    has_run = Latch()
    thread = Reluctant(error, target=has_run.set, name="a")

    with pytest.raises(ThreadStartError, match=f"a: {reason}"):
        start_thread(thread)
    start_thread(thread)
    start_thread(thread)

    thread.join()
    assert has_run.is_set()


class Reluctant(threading.Thread):
    """A thread that the system refuses to start at first."""

    def __init__(self, error: Exception, **options: Any) -> None:
        super().__init__(**options)
        self._errors = [error]

    def start(self) -> None:
        if self._errors:
            raise self._errors.pop()
        super().start()


def test_thread_that_the_system_has_refused_can_start_later() -> None:
    has_run = Latch()
    thread = threading.Thread(target=has_run.set)
    # No address space has room for this stack.
    usual = threading.stack_size(1 << 46)
    try:
        with pytest.raises(ThreadStartError):
            start_thread(thread)
    finally:
        threading.stack_size(usual)

    start_thread(thread)

    thread.join()
    assert has_run.is_set()
