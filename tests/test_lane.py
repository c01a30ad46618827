import threading
from functools import partial

import pytest

from telemetry_forwarder.lane import Lane


def test_work_happens_beside_the_caller() -> None:
    lane: Lane[str] = Lane("beside")

    wait = lane.start(lambda: threading.current_thread().name)

    assert wait() == "beside"


def test_one_thread_does_all_in_order() -> None:
    lane: Lane[None] = Lane("order")
    done: list[int] = []

    waits = [lane.start(partial(done.append, number)) for number in range(5)]
    for wait in waits:
        wait()

    assert done == [0, 1, 2, 3, 4]


def test_a_failure_is_the_callers_and_the_lane_goes_on() -> None:
    lane: Lane[int] = Lane("failing")

    wait = lane.start(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        wait()
    assert lane.start(lambda: 1)() == 1


def test_no_thread_is_started_before_there_is_work() -> None:
    before = threading.active_count()

    Lane[int]("idle")

    assert threading.active_count() == before
