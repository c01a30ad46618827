import threading

import pytest

from telemetry_forwarder.core.ownership import Ownership, OwnershipLost
from tests.support.threads import LONG_S, in_threads, join


def in_thread(work: object) -> None:
    """Run *work* in a thread of its own, and wait for its end."""
    assert callable(work)
    join(in_threads(1, work))


def test_state_that_nobody_holds_is_taken_at_once() -> None:
    assert Ownership().take(0.0)


def test_state_is_not_taken_while_it_is_held() -> None:
    ownership = Ownership()
    taken: list[bool] = []

    ownership.enter()
    in_thread(lambda: taken.append(ownership.take(0.0)))

    assert taken == [False]


def test_taking_waits_until_the_worker_leaves() -> None:
    ownership, taken = Ownership(), list[bool]()
    ownership.enter()
    threads = in_threads(1, lambda: taken.append(ownership.take(LONG_S)))

    while not ownership.is_requested:
        threads[0].join(0.001)
    assert taken == []
    ownership.leave()

    join(threads)
    assert taken == [True]


def test_worker_that_was_overtaken_cannot_come_back() -> None:
    ownership = Ownership()
    is_outside, may_return, has_lost = threading.Event(), threading.Event(), threading.Event()

    def wait_outside() -> None:
        is_outside.set()
        may_return.wait()

    def work() -> None:
        ownership.enter()
        try:
            ownership.release(wait_outside)
        except OwnershipLost:
            has_lost.set()

    threads = in_threads(1, work)
    is_outside.wait()
    assert ownership.take(0.0)
    may_return.set()

    join(threads)
    assert has_lost.is_set()


def test_thread_that_has_taken_over_may_use_the_same_steps() -> None:
    ownership = Ownership()
    assert ownership.take(0.0)

    ownership.enter()
    ownership.release()
    ownership.leave()


def test_other_thread_takes_over_at_a_moment_of_release() -> None:
    ownership = Ownership()
    ownership.enter()
    ownership.release()
    assert not ownership.take(0.0)

    lost: list[BaseException] = []

    def work() -> None:
        try:
            ownership.release()
        except OwnershipLost as exc:
            lost.append(exc)

    in_thread(work)

    assert len(lost) == 1
    assert ownership.take(0.0)


def test_worker_finishes_its_step_after_a_request_and_then_loses_the_ownership() -> None:
    ownership = Ownership()
    ownership.enter()
    ownership.leave()

    ownership.is_requested = True
    # It was outside, computing.
    ownership.enter()
    ownership.leave()

    with pytest.raises(OwnershipLost):
        ownership.enter()


def test_defect_outside_does_not_hide_that_the_ownership_is_lost() -> None:
    ownership = Ownership()
    lost: list[BaseException] = []

    def fail() -> None:
        taker = threading.Thread(target=ownership.take, args=[0.0])
        taker.start()
        taker.join()
        raise ValueError

    def work() -> None:
        ownership.enter()
        try:
            ownership.release(fail)
        except OwnershipLost as exc:
            lost.append(exc)

    in_thread(work)

    assert len(lost) == 1
