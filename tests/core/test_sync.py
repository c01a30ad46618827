import gc
import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from telemetry_forwarder.core.sync import Latch, WakeUp
from tests.support.threads import LONG_S, in_threads, join


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Leave no descriptor free."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class SignalError(Exception):
    """As a signal raises it."""


def interrupted(*_: object) -> int:
    raise SignalError


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


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

    @pytest.mark.parametrize("timeout_s", [1e6, 1e300, math.inf])
    def test_timeout_of_any_length_is_accepted(self, timeout_s: float) -> None:
        latch = Latch()
        threads = in_threads(1, lambda: latch.wait(timeout_s))

        latch.set()

        join(threads)

    def test_it_leaves_no_descriptor_open(self) -> None:
        before = open_descriptors()

        latches = [Latch() for _ in range(3)]
        for latch in latches:
            latch.set()
            latch.set()
        del latches, latch

        assert open_descriptors() == before

    @pytest.mark.parametrize("kind", [Latch, WakeUp])
    def test_signal_while_it_is_created_leaves_nothing_behind(
        self, kind: type[Latch | WakeUp], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("posix.eventfd", interrupted)

        with pytest.raises(SignalError):
            kind()
        gc.collect()

    def test_without_a_free_descriptor_it_works_as_well(self) -> None:
        with no_descriptors():
            latch = Latch()
        results: list[bool] = [latch.wait(-1), latch.wait(0.001)]
        threads = in_threads(2, lambda: results.append(latch.wait()))
        threads += in_threads(2, lambda: results.append(latch.wait(LONG_S)))

        latch.set()
        latch.set()
        join(threads)

        assert results == [False] * 2 + [True] * 4


@pytest.mark.parametrize("kind", [Latch, WakeUp])
def test_wait_ends_if_another_descriptor_is_readable(kind: type[Latch | WakeUp]) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"signal")

    waited = [kind().wait(LONG_S, or_readable=reader), kind().wait(or_readable=reader)]

    assert waited == [False, False]
    os.close(reader)
    os.close(writer)


class TestWakeUp:
    def test_without_a_free_descriptor_it_works_as_well(self) -> None:
        with no_descriptors():
            wake_up = WakeUp()
        assert not wake_up.wait(-1)
        assert not wake_up.wait(0.001)
        threads = in_threads(1, wake_up.wait)

        wake_up.notify()

        join(threads)
        wake_up.notify()
        wake_up.notify()
        assert [wake_up.wait(LONG_S), wake_up.wait(0.001)] == [True, False]

    def test_it_leaves_no_descriptor_open(self) -> None:
        before = open_descriptors()

        wake_ups = [WakeUp() for _ in range(3)]
        wake_ups[0].notify()
        del wake_ups

        assert open_descriptors() == before

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

    def test_every_one_of_many_threads_is_woken_if_each_wakes_the_next(self) -> None:
        wake_up = WakeUp()

        def pass_on() -> None:
            wake_up.wait()
            wake_up.notify()

        threads = in_threads(8, pass_on)
        wake_up.notify()

        join(threads)
