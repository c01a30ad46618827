import threading
from functools import partial

import pytest

from telemetry_forwarder.export.sender_thread import SenderThread


def test_work_runs_in_the_named_thread() -> None:
    sender: SenderThread[str] = SenderThread("sender")

    task = sender.start(lambda: threading.current_thread().name)

    assert task.result() == "sender"


def test_one_thread_runs_all_tasks_in_order() -> None:
    sender: SenderThread[None] = SenderThread("order")
    done: list[int] = []

    tasks = [sender.start(partial(done.append, number)) for number in range(5)]
    for task in tasks:
        task.result()

    assert done == [0, 1, 2, 3, 4]


def test_result_raises_what_the_work_raised_and_the_thread_goes_on() -> None:
    sender: SenderThread[float] = SenderThread("failing")

    failing, good = sender.start(lambda: 1 / 0), sender.start(lambda: 1.0)

    with pytest.raises(ZeroDivisionError):
        failing.result()
    assert good.result() == 1


def test_no_thread_is_started_before_the_first_task() -> None:
    before = threading.active_count()

    SenderThread[int]("idle")

    assert threading.active_count() == before
