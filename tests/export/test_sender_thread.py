import threading
from functools import partial

from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.export.sender_thread import SenderThread


def test_one_thread_of_that_name_runs_all_tasks_in_order() -> None:
    sender, has_run = SenderThread("export of logs"), Latch()
    done: list[tuple[int, str]] = []

    def note(number: int) -> None:
        done.append((number, threading.current_thread().name))

    for number in range(5):
        sender.add(partial(note, number))
    sender.add(has_run.set)

    assert has_run.wait(30.0)
    assert done == [(number, "export of logs") for number in range(5)]


def test_no_thread_is_started_before_the_first_task() -> None:
    before = threading.active_count()

    SenderThread("idle")

    assert threading.active_count() == before
