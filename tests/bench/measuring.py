"""Measures processes: CPU time, memory, instructions; runs cases in interleaved rounds."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_MS = 1_000
Case = Callable[[], Mapping[str, float]]


def interleaved(cases: Mapping[str, Case], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Run all *cases* in each of *rounds*, so that a disturbance affects all of them; return their readings."""
    readings: dict[str, dict[str, list[float]]] = {name: {} for name in cases}
    for number in range(rounds):
        # The order alternates: caches and CPU clocks depend on what ran before.
        names = list(cases) if number % 2 else list(cases)[::-1]
        for name in names:
            for reading, value in cases[name]().items():
                readings[name].setdefault(reading, []).append(value)
    return readings


def cpu_ms(pid: int) -> float:
    """Return the CPU time of all threads of *pid*, including those that have ended."""
    # The clock id that glibc's clock_getcpuclockid returns, which Python does not offer.
    return time.clock_gettime_ns(~pid << 3 | 2) / 1_000_000


def memory_mb(pid: int) -> dict[str, float]:
    """Return the resident memory of the process: `VmRSS` now, `VmHWM` at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


@dataclass(slots=True)
class Started:
    """A process of the benchmark. *at_s* is the moment before its start."""

    pid: int
    at_s: float
    popen: subprocess.Popen[bytes]

    def end(self, *, kills: bool = True) -> float:
        """Kill it, or wait until it exits; return its total CPU time in ms."""
        if kills:
            # Not Popen.kill: it may reap the process, whose CPU time would be lost.
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
    errors: int = subprocess.DEVNULL,
) -> Iterator[Started]:
    """Start *command*, on *cpu* if given. The process never outlives the block."""
    on_one_cpu = ["taskset", "-c", str(cpu)] if cpu is not None else []
    at_s = time.monotonic()
    popen = subprocess.Popen(
        [*on_one_cpu, *command], env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
    )
    process = Started(popen.pid, at_s, popen)
    try:
        yield process
    finally:
        if popen.returncode is None:
            process.end()


class Callgrind:
    """Counts the instructions in user space of a process under valgrind."""

    is_available = shutil.which("valgrind") is not None

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-children=yes"]
        self._command = [*tool, *command]
        # Otherwise string hashes, and with them the instructions of dicts, differ from run to run.
        self._env = {**env, "PYTHONHASHSEED": "0"}

    @contextlib.contextmanager
    def started(self) -> Iterator[Started]:
        with (
            tempfile.TemporaryFile() as self._output,
            started(self._command, self._env, errors=self._output.fileno()) as process,
        ):
            yield process

    def millions(self) -> float:
        """Return the count. Call it in the block, after the process has exited."""
        self._output.seek(0)
        counts = [line for line in self._output.read().splitlines() if b"Collected" in line]
        if not counts:
            raise RuntimeError("valgrind counted nothing")
        return int(counts[-1].split(b":")[1]) / 1e6


def wait_until_idle(pid: int, *, quiet_s: float = 0.5, timeout_s: float = 300.0) -> None:
    """Wait until no thread of *pid* has run, or wanted to, for *quiet_s*. A busy machine only makes it longer."""
    deadline_s = time.monotonic() + timeout_s
    quiet_since_s, before_ms = time.monotonic(), -1.0
    while time.monotonic() - quiet_since_s < quiet_s:
        spent_ms = cpu_ms(pid)
        if spent_ms != before_ms or not _are_all_sleeping(pid):
            quiet_since_s, before_ms = time.monotonic(), spent_ms
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"process {pid} has been busy for {timeout_s} s")
        time.sleep(0.02)


def _are_all_sleeping(pid: int) -> bool:
    try:
        states = [
            (thread / "stat").read_text().rpartition(")")[2].split()[0]
            for thread in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:
        return False
    return set(states) == {"S"}
