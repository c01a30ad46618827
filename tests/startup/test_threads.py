import signal
import threading
from typing import Any

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.startup.threads import log_uncaught, start_thread
from tests.support.broken import no_memory
from tests.support.captured_log import CapturedLog


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


def test_thread_receives_no_signals_and_its_starter_as_before() -> None:
    masks: list[set[Any]] = []

    def note_mask() -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def start_another() -> None:
        note_mask()
        another = threading.Thread(target=note_mask)
        another.start()
        another.join()

    thread = threading.Thread(target=start_another)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    start_thread(thread)

    thread.join()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert [{signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGRTMAX} - mask for mask in masks] == [set()] * 2


def test_signals_are_received_after_a_start_that_has_failed() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    with pytest.raises(ThreadStartError):
        start_thread(Reluctant(MemoryError()))

    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


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


class FailsAtItsEnd:
    def __del__(self) -> None:
        raise OSError("gone")


def test_exception_that_nobody_catches_is_one_line_of_ours(
    captured: CapturedLog, capfd: pytest.CaptureFixture[str]
) -> None:
    log_uncaught(captured.diagnostics(Clock()))
    thread = threading.Thread(target=no_memory, name="check")

    start_thread(thread)
    thread.join()
    FailsAtItsEnd()

    assert captured.lines == [
        "ERROR check has failed: MemoryError: ",
        "ERROR FailsAtItsEnd.__del__ has failed: OSError: gone",
    ]
    assert capfd.readouterr().err == ""
