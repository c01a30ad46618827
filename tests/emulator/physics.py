"""The forces of a real sandbox: the freezer, the CPU share of the memory size, the memory limit.

Control groups of both versions are used where they may be made. Where not, freezing falls back to
SIGSTOP and SIGCONT, and the other two are left out; `in_force` says what is really there.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path

from .processes import Process

_ROOT = Path("/sys/fs/cgroup")
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html: 1,769 MB are one vCPU.
_MB_PER_VCPU = 1769
_PERIOD_US = 20_000
_LEAST_QUOTA_US = 1_000  # The kernel takes no less.
_numbers = itertools.count(1)


class Physics:
    """Holds the control groups of one `Lambda`; processes are admitted right after they were started."""

    def __init__(
        self, *, cpu_share: bool, memory_limit: bool, memory_mb: int, signals_only: bool = False
    ) -> None:
        self._memory_mb = memory_mb
        self._freezer = None if signals_only else _group("freezer", "freezer.state", "cgroup.freeze")
        self._cpu = _group("cpu", "cpu.cfs_quota_us", "cpu.max") if cpu_share else None
        self._memory = _group("memory", "memory.limit_in_bytes", "memory.max") if memory_limit else None
        self._oom_kills_seen = 0
        self._is_kill_requested = False
        if self._memory:
            self._limit_memory(self._memory)
        self.in_force = {"freeze": self._freezer.kind if self._freezer else "SIGSTOP"}
        for name, wanted, group in (("cpu", cpu_share, self._cpu), ("memory", memory_limit, self._memory)):
            if group:
                self.in_force[name] = group.kind
            elif wanted:
                self.in_force[name] = "not in force: no control group may be made here"
                print(f"emulator: {name} limit is {self.in_force[name]}; going on without")

    def admit(self, pid: int) -> None:
        for path in self._paths():
            with contextlib.suppress(ProcessLookupError):
                (path / "cgroup.procs").write_text(str(pid))

    # Freezing.

    def freeze(self, processes: Sequence[Process]) -> None:
        """Stop all processes; returns when they stand still."""
        if self._freezer is None:
            for process in processes:
                process.signal(signal.SIGSTOP)
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
        """From the end of init on, the CPU share of the memory size is all there is."""
        if self._cpu and self._memory_mb < _MB_PER_VCPU * (os.cpu_count() or 1):
            quota = max(_PERIOD_US * self._memory_mb // _MB_PER_VCPU, _LEAST_QUOTA_US)
            self._cpu.limit_cpu(quota)

    def release(self) -> None:
        """Init has all of the CPU, whatever the memory size."""
        if self._cpu:
            self._cpu.limit_cpu(None)

    # Memory.

    def took_a_life(self) -> bool:
        """True once after the memory limit killed somebody, or `kill_on_request` did in its place."""
        if self._is_kill_requested:
            self._is_kill_requested = False
            return True
        kills = self._memory.oom_kills() if self._memory else 0
        is_new = kills > self._oom_kills_seen
        self._oom_kills_seen = kills
        return is_new

    def kill_on_request(self, process: Process) -> None:
        """What the kernel does to a process that took too much."""
        self._is_kill_requested = True
        process.signal(signal.SIGKILL)

    def memory_used_mb(self, processes: Sequence[Process]) -> int:
        """The high-water mark, as the kernel keeps it per process."""
        return sum(map(_peak_kb, (process.pid for process in processes))) // 1024

    def _limit_memory(self, group: _Group) -> None:
        group.write(("memory.limit_in_bytes", "memory.max"), str(self._memory_mb * 1024 * 1024))

    # The end.

    def kill_the_rest(self) -> None:
        """Whoever left its process group is still in the control group."""
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


class _Group:
    """One control group of either version."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind

    def write(self, names: tuple[str, str], value: str) -> None:
        """The first of *names* (version 1, version 2) that exists takes *value*."""
        next(self.path / name for name in names if (self.path / name).exists()).write_text(value)

    def freeze(self) -> None:
        self._switch("FROZEN", "1")

    def thaw(self) -> None:
        self._switch("THAWED", "0")

    def limit_cpu(self, quota_us: int | None) -> None:
        if (self.path / "cpu.max").exists():
            (self.path / "cpu.max").write_text(f"{quota_us or 'max'} {_PERIOD_US}")
        else:
            (self.path / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota_us or -1))

    def oom_kills(self) -> int:
        for name in ("memory.oom_control", "memory.events"):
            if (self.path / name).exists():
                lines = (self.path / name).read_text().splitlines()
                return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
        return 0

    def pids(self) -> list[int]:
        return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]

    def remove(self) -> None:
        """The kernel lets go of a group a moment after its last process was reaped."""
        for _ in range(200):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                select.select([], [], [], 0.005)
            else:
                return

    def _switch(self, first: str, second: str) -> None:
        state = self.path / "freezer.state"
        if state.exists():
            state.write_text(first)
            while state.read_text().strip() != first:
                select.select([], [], [], 0.001)
            return
        (self.path / "cgroup.freeze").write_text(second)
        while f"frozen {second}" not in (self.path / "cgroup.events").read_text():
            select.select([], [], [], 0.001)


def _group(controller: str, first: str, second: str) -> _Group | None:
    """A new group that has the file *first* (version 1) or *second* (version 2); None without the rights."""
    name = f"telemetry-forwarder-emulator-{os.getpid()}-{next(_numbers)}"
    places = [(_ROOT / controller, first, f"cgroup v1 {controller}")]
    places += [(root, second, f"cgroup v2 {controller}") for root in _second_version_roots()]
    for root, wanted, kind in places:
        path = root / name
        try:
            if root.is_dir() and (root / "cgroup.procs").exists():
                if kind.startswith("cgroup v2") and controller != "freezer":
                    (root / "cgroup.subtree_control").write_text(f"+{controller}")
                path.mkdir()
                if (path / wanted).exists():
                    return _Group(path, kind)
                path.rmdir()
        except OSError:
            continue
    return None


def _second_version_roots() -> list[Path]:
    """Where a group of version 2 may be made: below our own, then at the top."""
    with contextlib.suppress(OSError):
        own = next(
            (
                line[3:]
                for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::")
            ),
            "/",
        )
        return [root / own.strip("/") for root in (_ROOT, _ROOT / "unified")]
    return []


def _peak_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
