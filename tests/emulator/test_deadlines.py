"""Deadlines exclude the time that a busy machine takes, and nothing else."""

import os
import subprocess
import sys

from tests.emulator.deadlines import Deadline, RunDelay
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until

BUSY = "while True: pass"


class SetDelay(RunDelay):
    """Reports what the test sets."""

    def __init__(self) -> None:
        super().__init__(list)
        self.seconds = 5.0

    def total_s(self) -> float:
        return self.seconds


def test_two_processes_on_one_cpu_delay_each_other() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", cpu, sys.executable, "-I", "-S", "-c", BUSY]
    with subprocess.Popen(command) as one, subprocess.Popen(command) as other:
        try:
            run_delay = RunDelay(lambda: [one.pid, other.pid])
            wait_until(lambda: run_delay.total_s() > 0.1)
        finally:
            one.kill()
            other.kill()


def test_the_delay_of_a_process_that_ended_is_kept() -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", BUSY])
    run_delay = RunDelay(lambda: [process.pid])
    try:
        wait_until(lambda: run_delay.total_s() > 0)
    finally:
        process.kill()
        process.wait()
    before_s = run_delay.total_s()

    assert run_delay.total_s() == before_s > 0


def test_an_idle_machine_does_not_move_a_deadline() -> None:
    clock = FakeClock()
    deadline = Deadline(2.0, SetDelay(), monotonic_s=clock.monotonic_s)

    clock.advance(1.5)
    assert deadline.left_s() == 0.5

    clock.advance(0.5)
    assert deadline.left_s() == 0


def test_a_busy_machine_moves_a_deadline_by_what_it_took() -> None:
    clock, run_delay = FakeClock(), SetDelay()
    deadline = Deadline(2.0, run_delay, monotonic_s=clock.monotonic_s)

    clock.advance(2.0)
    run_delay.seconds += 0.5
    assert deadline.left_s() == 0.5

    clock.advance(0.5)
    assert deadline.left_s() == 0


def test_a_part_of_the_time_always_counts() -> None:
    clock, run_delay = FakeClock(), SetDelay()
    deadline = Deadline(2.0, run_delay, monotonic_s=clock.monotonic_s)

    run_delay.seconds += 1000
    clock.advance(19.0)
    assert deadline.left_s() > 0

    clock.advance(2.0)
    assert deadline.left_s() < 0
