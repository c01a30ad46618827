"""Freezes processes and limits their CPU and memory, as a real sandbox does.

Uses control groups of either version. If none may be created, freezing falls back to SIGSTOP and SIGCONT, and CPU
and memory are not limited; `enforced_by` contains what is used.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path

from .cgroups import PERIOD_US, Group, new_group
from .processes import Process

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html: 1,769 MB are one vCPU.
_MB_PER_VCPU = 1769
_LOWEST_QUOTA_US = 1_000  # The kernel rejects less.


class ResourceControl:
    """Owns the control groups of one `Lambda`. Processes join them right after their start."""

    def __init__(self, *, cpu_share: bool, memory_limit: bool, memory_mb: int, signals_only: bool = False) -> None:
        self._memory_mb = memory_mb
        self._freezer = None if signals_only else new_group("freezer", "freezer.state", "cgroup.freeze")
        self._cpu = new_group("cpu", "cpu.cfs_quota_us", "cpu.max") if cpu_share else None
        self._memory = new_group("memory", "memory.limit_in_bytes", "memory.max") if memory_limit else None
        self._oom_kills_seen = 0
        self._is_kill_requested = False
        if self._cpu:
            self._cpu.prefer()
        if self._memory:
            self._limit_memory(self._memory)
        self.enforced_by = {"freeze": self._freezer.kind if self._freezer else "SIGSTOP"}
        for name, wanted, group in (("cpu", cpu_share, self._cpu), ("memory", memory_limit, self._memory)):
            if group:
                self.enforced_by[name] = group.kind
            elif wanted:
                self.enforced_by[name] = "nothing: no control group may be created here"
                print(f"emulator: the {name} limit is enforced by {self.enforced_by[name]}")

    def admit(self, pid: int) -> None:
        for path in self._paths():
            with contextlib.suppress(ProcessLookupError):
                (path / "cgroup.procs").write_text(str(pid))

    # Freezing.

    def freeze(self, processes: Sequence[Process]) -> None:
        """Stop all processes and wait until they have stopped."""
        if self._freezer is None:
            for process in processes:
                process.signal(signal.SIGSTOP)
            while any(_is_running(process.pid) for process in processes):
                select.select([], [], [], 0.001)
        else:
            self._freezer.freeze()

    def thaw(self, processes: Sequence[Process]) -> None:
        if self._freezer is None:
            for process in processes:
                process.signal(signal.SIGCONT)
        else:
            self._freezer.thaw()

    # CPU.

    def throttle(self) -> None:
        """Limit the CPU to the share of the memory size, as Lambda does after init."""
        if self._cpu and self._memory_mb < _MB_PER_VCPU * (os.cpu_count() or 1):
            quota = max(PERIOD_US * self._memory_mb // _MB_PER_VCPU, _LOWEST_QUOTA_US)
            self._cpu.limit_cpu(quota)

    def release(self) -> None:
        """Remove the CPU limit, as Lambda does during init."""
        if self._cpu:
            self._cpu.limit_cpu(None)

    # Memory.

    def has_killed_for_memory(self) -> bool:
        """Return True once after the memory limit, or `kill_on_request` in its place, killed a process."""
        if self._is_kill_requested:
            self._is_kill_requested = False
            return True
        kills = self._memory.oom_kills() if self._memory else 0
        is_new = kills > self._oom_kills_seen
        self._oom_kills_seen = kills
        return is_new

    def kill_on_request(self, process: Process) -> None:
        """Kill *process* as the kernel does at the memory limit."""
        self._is_kill_requested = True
        process.signal(signal.SIGKILL)

    def memory_used_mb(self, processes: Sequence[Process]) -> int:
        """Return the sum of the peaks that the kernel keeps for each process."""
        return sum(map(_peak_kb, (process.pid for process in processes))) // 1024

    def _limit_memory(self, group: Group) -> None:
        group.write(("memory.limit_in_bytes", "memory.max"), str(self._memory_mb * 1024 * 1024))

    # End.

    def kill_remaining(self) -> None:
        """Kill processes that left their process group: they are still in the control group."""
        if self._freezer:
            for pid in self._freezer.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        for group in (self._freezer, self._cpu, self._memory):
            if group:
                group.remove()

    def _paths(self) -> list[Path]:
        groups = (self._freezer, self._cpu, self._memory)
        return list(dict.fromkeys(group.path for group in groups if group))


def _is_running(pid: int) -> bool:
    """Whether a thread of the process has not stopped yet."""
    with contextlib.suppress(OSError):
        tasks = [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
        return any(stat.read_text().rpartition(")")[2].split()[0] not in "TtZX" for stat in tasks)
    return False


def _peak_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
