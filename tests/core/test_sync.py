import math
import threading

import pytest

from telemetry_forwarder.core.sync import Latch, WakeUp
from tests.support.threads import LONG_S, in_threads, join


class TestLatch:
    def test_wait_blocks_until_it_is_set(self) -> None:
        latch = Latch()

        assert (latch.is_set(), latch.wait(0.0), latch.wait(0.001), latch.is_set()) == (False,) * 4

    def test_setting_releases_all_threads(self) -> None:
        latch = Latch()
        results: list[bool] = []
        threads = in_threads(8, lambda: results.append(latch.wait()))

        latch.set()
        join(threads)

        assert results == [True] * 8
        assert (latch.is_set(), latch.wait(0.0), latch.wait()) == (True,) * 3

    def test_it_may_be_set_by_several_threads_while_others_wait(self) -> None:
        for _ in range(200):
            latch = Latch()
            waiting = in_threads(3, latch.wait)
            setting = in_threads(3, latch.set)
            join(waiting + setting)

            assert latch.wait(0.0)

    @pytest.mark.parametrize("timeout_s", [-1, -0.5, math.nan])
    def test_timeout_that_is_not_positive_does_not_block(self, timeout_s: float) -> None:
        assert not Latch().wait(timeout_s)

    def test_timeout_beyond_the_limit_of_a_lock_is_accepted(self) -> None:
        latch = Latch()
        threads = in_threads(1, lambda: latch.wait(threading.TIMEOUT_MAX * 10))

        latch.set()

        join(threads)


class TestWakeUp:
    def test_notifications_before_a_wait_count_as_one(self) -> None:
        wake_up = WakeUp()
        wake_up.notify()
        wake_up.notify()

        assert [wake_up.wait(0.0), wake_up.wait(0.0)] == [True, False]

    @pytest.mark.parametrize("timeout_s", [0.0, 0.001, -1, math.nan])
    def test_wait_without_a_notification_times_out(self, timeout_s: float) -> None:
        assert not WakeUp().wait(timeout_s)

    def test_notification_wakes_the_waiting_thread(self) -> None:
        wake_up = WakeUp()
        threads = in_threads(1, wake_up.wait)

        wake_up.notify()

        join(threads)

    def test_no_notification_is_lost_between_checking_and_waiting(self) -> None:
        wake_up = WakeUp()
        queue: list[int] = []
        taken: list[int] = []

        def put_all() -> None:
            for number in range(2_000):
                queue.append(number)
                wake_up.notify()

        threads = in_threads(1, put_all)

        while len(taken) < 2_000:
            assert queue or wake_up.wait(LONG_S)
            while queue:
                taken.append(queue.pop(0))

        join(threads)
        assert taken == list(range(2_000))
