"""A latch lets everybody go on, for good; a bell wakes one, once."""

import math
import threading
from collections.abc import Callable

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.sync import Bell, Latch

LONG_S = 20.0


def in_threads(number: int, work: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    deadline = Deadline.after(LONG_S, Clock())
    for thread in threads:
        thread.join(deadline.left_s())
    assert not any(thread.is_alive() for thread in threads)


class TestLatch:
    def test_nobody_goes_on_before_it_is_set(self) -> None:
        latch = Latch()

        assert (latch.is_set(), latch.wait(0.0), latch.wait(0.001), latch.is_set()) == (False,) * 4

    def test_everybody_does_once_it_is(self) -> None:
        latch = Latch()
        went: list[bool] = []
        threads = in_threads(8, lambda: went.append(latch.wait()))

        latch.set()
        join(threads)

        assert went == [True] * 8
        assert (latch.is_set(), latch.wait(0.0), latch.wait()) == (True,) * 3

    def test_it_may_be_set_by_many_while_many_wait(self) -> None:
        for _ in range(200):
            latch = Latch()
            waiting = in_threads(3, latch.wait)
            setting = in_threads(3, latch.set)
            join(waiting + setting)

            assert latch.wait(0.0)

    @pytest.mark.parametrize("timeout_s", [-1, -0.5, math.nan])
    def test_a_time_that_is_over_is_not_waited_for(self, timeout_s: float) -> None:
        assert not Latch().wait(timeout_s)

    def test_a_time_that_no_lock_can_wait_for_is_for_ever(self) -> None:
        latch = Latch()
        threads = in_threads(1, lambda: latch.wait(threading.TIMEOUT_MAX * 10))

        latch.set()

        join(threads)


class TestBell:
    def test_it_wakes_once_for_every_time_it_was_waited_for(self) -> None:
        bell = Bell()
        bell.ring()
        bell.ring()

        assert [bell.wait(0.0), bell.wait(0.0)] == [True, False]

    @pytest.mark.parametrize("timeout_s", [0.0, 0.001, -1, math.nan])
    def test_nobody_wakes_without_it(self, timeout_s: float) -> None:
        assert not Bell().wait(timeout_s)

    def test_who_waits_is_woken(self) -> None:
        bell = Bell()
        threads = in_threads(1, bell.wait)

        bell.ring()

        join(threads)

    def test_none_is_missed_between_looking_and_waiting(self) -> None:
        bell, given, taken = Bell(), [], []
        ringer = threading.Thread(
            target=lambda: [(given.append(number), bell.ring()) for number in range(2_000)], daemon=True
        )
        ringer.start()

        while len(taken) < 2_000:
            assert given or bell.wait(LONG_S)
            while given:
                taken.append(given.pop(0))

        join([ringer])
        assert taken == list(range(2_000))
