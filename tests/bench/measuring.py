"""Readings of processes: CPU to the nanosecond, memory, medians of interleaved runs."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_MS = 1_000
Case = Callable[[], Mapping[str, float]]


def interleaved(cases: Mapping[str, Case], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Run all *cases* in turn, *rounds* times, so that what disturbs one disturbs all; the readings of each."""
    readings: dict[str, dict[str, list[float]]] = {name: {} for name in cases}
    for number in range(rounds):
        # In another order each time: who comes after whom makes a difference to caches and clocks.
        names = list(cases) if number % 2 else list(reversed(cases))
        for name in names:
            for reading, value in cases[name]().items():
                readings[name].setdefault(reading, []).append(value)
    return readings


def cpu_ms(pid: int) -> float:
    """CPU time of all threads of *pid* so far, those that have ended included."""
    # The clock of a process that glibc's clock_getcpuclockid would name, which Python does not have.
    return time.clock_gettime_ns(~pid << 3 | 2) / 1_000_000


def memory_mb(pid: int) -> dict[str, float]:
    """Of the process: `VmRSS` now, `VmHWM` at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


@dataclass(slots=True)
class Started:
    """A process of the benchmark. *at_s* is the moment before it was started."""

    pid: int
    at_s: float
    popen: subprocess.Popen[bytes]

    def end(self, *, kills: bool = True) -> float:
        """Kill it, or wait for its own end; gives its whole CPU time in ms."""
        if kills:
            # Not Popen's own: it would look first whether the process has ended, and take its CPU time away.
            os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        if self.popen.stdout:
            self.popen.stdout.close()
        return (usage.ru_utime + usage.ru_stime) * _MS


@contextlib.contextmanager
def started(
    command: list[str],
    env: Mapping[str, str],
    *,
    cpu: int | None = None,
    cwd: Path | None = None,
    output: int = subprocess.DEVNULL,
) -> Iterator[Started]:
    """Start *command*, on one CPU if one is given; whatever happens, it does not outlive the block."""
    on_one = ["taskset", "-c", str(cpu)] if cpu is not None else []
    at_s = time.monotonic()
    popen = subprocess.Popen(
        [*on_one, *command],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
    )
    process = Started(popen.pid, at_s, popen)
    try:
        yield process
    finally:
        if popen.returncode is None:
            process.end()


def instructions(command: list[str], env: Mapping[str, str]) -> float | None:
    """Millions of instructions in user space, by callgrind: the same in every run. None without valgrind."""
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-children=yes"]
    try:
        done = subprocess.run(
            [*tool, *command], env={**env, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    counted = [line for line in done.stderr.splitlines() if "Collected" in line]
    return int(counted[-1].split(":")[1]) / 1e6 if counted else None
