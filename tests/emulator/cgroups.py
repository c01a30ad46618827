"""Control groups of both versions: freezer, CPU quota, memory limit."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import subprocess
from pathlib import Path, PurePath

# With a longer period a short invocation of a small function would run at full speed.
PERIOD_US = 20_000
_ROOT = Path("/sys/fs/cgroup")
_MOUNTS = (_ROOT, _ROOT / "unified")
_NEEDS_CONTROLLER = ("cpu.max", "memory.max")
_numbers = itertools.count(1)


class Group:
    """One control group of either version."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind

    def write(self, names: tuple[str, str], value: str) -> None:
        """Write *value* to the first existing file of *names* (version 1, version 2)."""
        next(self.path / name for name in names if (self.path / name).exists()).write_text(value)

    def freeze(self) -> None:
        self._switch("FROZEN", "1")

    def thaw(self) -> None:
        self._switch("THAWED", "0")

    def limit_cpu(self, quota_us: int | None) -> None:
        if (self.path / "cpu.max").exists():
            (self.path / "cpu.max").write_text(f"{quota_us or 'max'} {PERIOD_US}")
        else:
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota_us or -1))

    def prefer(self) -> None:
        """Let other processes of the machine, as far as possible, not take the CPU that the quota grants."""
        # The highest values.
        self.write(("cpu.shares", "cpu.weight"), "10000" if (self.path / "cpu.weight").exists() else "262144")

    def oom_kills(self) -> int:
        for name in ("memory.oom_control", "memory.events"):
            if (self.path / name).exists():
                lines = (self.path / name).read_text().splitlines()
                return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
        return 0

    def pids(self) -> list[int]:
        return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]

    def remove(self) -> None:
        """Remove the group. The kernel frees it a moment after its last process was reaped."""
        for _ in range(2_000):
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


def new_group(controller: str, first: str, second: str) -> Group | None:
    """Create a group that has the file *first* (version 1) or *second* (version 2); None without permission."""
    name = f"telemetry-forwarder-emulator-{os.getpid()}-{next(_numbers)}"
    places = [(_ROOT / controller, first, f"cgroup v1 {controller}")]
    places += [(root, second, f"cgroup v2 {controller}") for root in _second_version_roots()]
    for root, wanted, kind in places:
        path = root / name
        with contextlib.suppress(OSError):
            if not (root / "cgroup.procs").exists():
                continue
            if second in _NEEDS_CONTROLLER and wanted == second:
                (root / "cgroup.subtree_control").write_text(f"+{controller}")
            path.mkdir()
            if (path / wanted).exists() and _accepts_processes(path):
                return Group(path, kind)
        with contextlib.suppress(OSError):
            path.rmdir()
    return None


def _accepts_processes(path: Path) -> bool:
    """Whether a process may be moved into the group: creating it requires another permission."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as probe:
        try:
            (path / "cgroup.procs").write_text(str(probe.pid))
        except OSError:
            return False
        return True


def _second_version_roots() -> list[Path]:
    """Return where a group of version 2 may be created: below our own, then further and further up."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = PurePath(next((line[3:] for line in lines if line.startswith("0::")), "/"))
        return [mount / str(place).strip("/") for mount in _MOUNTS for place in (own, *own.parents)]
    return []
