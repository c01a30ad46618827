import threading
from functools import partial

import pytest

from telemetry_forwarder.export.sender_thread import Relay, SenderThread


def test_work_happens_beside_the_caller() -> None:
    lane: SenderThread[str] = SenderThread("beside")

    piece = lane.prepare(lambda: threading.current_thread().name)
    piece.start()

    assert piece.result() == "beside"


def test_one_thread_does_all_in_order() -> None:
    lane: SenderThread[None] = SenderThread("order")
    done: list[int] = []

    pieces = [lane.prepare(partial(done.append, number)) for number in range(5)]
    for piece in pieces:
        piece.start()
    for piece in pieces:
        piece.result()

    assert done == [0, 1, 2, 3, 4]


def test_a_failure_is_the_callers_and_the_lane_goes_on() -> None:
    lane: SenderThread[int] = SenderThread("failing")

    failing, good = lane.prepare(lambda: 1 // 0), lane.prepare(lambda: 1)
    failing.start()
    good.start()

    with pytest.raises(ZeroDivisionError):
        failing.result()
    assert good.result() == 1


def test_no_thread_is_started_before_there_is_work() -> None:
    before = threading.active_count()

    SenderThread[int]("idle")

    assert threading.active_count() == before


def test_each_begins_when_somebody_before_it_waits() -> None:
    relay, begun = Relay(), list[int]()

    relay.start(*[partial(begun.append, number) for number in range(3)])
    assert begun == [0]

    relay.go_on()
    assert begun == [0, 1]

    relay.go_on()
    relay.go_on()
    assert begun == [0, 1, 2]


def test_what_begins_may_wait_at_once() -> None:
    relay, begun = Relay(), list[int]()

    def begin(number: int) -> None:
        begun.append(number)
        relay.go_on()

    relay.start(*[partial(begin, number) for number in range(3)])

    assert begun == [0, 1, 2]


def test_what_is_cleared_does_not_begin() -> None:
    relay, begun = Relay(), list[int]()
    relay.start(*[partial(begun.append, number) for number in range(3)])

    relay.clear()
    relay.go_on()

    assert begun == [0]


def test_each_begins_once_whoever_waits() -> None:
    relay, begun = Relay(), list[int]()
    relay.start(*[partial(begun.append, number) for number in range(1_000)])

    def wait() -> None:
        for _ in range(500):
            relay.go_on()

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(begun) == [*range(1_000)]
