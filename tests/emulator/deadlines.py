"""Lambda's deadlines on a machine that may be busy.

A deadline is a promise about Lambda, not about this machine: time for which threads were ready to run but got
no CPU does not count. On an idle machine a deadline is exact.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

# Threads that wait at the same time are counted one by one, so a part of the time always counts.
_MAX_EXCLUDED = 0.9
_SHORTEST_WAIT_S = 0.001


class RunDelay:
    """Measures how long the threads of *pids* were ready to run without running."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._ns_by_thread: dict[str, int] = {}

    def total_s(self) -> float:
        """Return the sum over all threads, including threads that ended after an earlier call."""
        for pid in self._pids():
            with contextlib.suppress(OSError):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    self._measure(thread)
        return sum(list(self._ns_by_thread.values())) / 1e9

    def _measure(self, thread: Path) -> None:
        with contextlib.suppress(OSError, IndexError):
            # https://docs.kernel.org/scheduler/sched-stats.html: ns on the CPU, ns waiting for it, time slices
            self._ns_by_thread[str(thread)] = int((thread / "schedstat").read_text().split()[1])


class Deadline:
    """The end of *limit_s* from now on, later by the time that *run_delay* measures meanwhile."""

    def __init__(
        self, limit_s: float, run_delay: RunDelay | None = None, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_s, self._run_delay = limit_s, run_delay
        self._monotonic_s = monotonic_s
        self._started_s = monotonic_s()
        self._delay_before_s = run_delay.total_s() if run_delay else 0.0

    @property
    def unix_ms(self) -> int:
        """The `deadlineMs` for extensions: when it passes on an idle machine."""
        return int((time.time() + self.nominal_s - self._monotonic_s()) * 1000)

    @property
    def nominal_s(self) -> float:
        """The monotonic moment at which it passes on an idle machine."""
        return self._started_s + self._limit_s

    def left_s(self) -> float:
        """Return the seconds left, zero or less once it has passed."""
        elapsed_s = self._monotonic_s() - self._started_s
        if elapsed_s < self._limit_s or self._run_delay is None:
            return self._limit_s - elapsed_s
        delayed_s = self._run_delay.total_s() - self._delay_before_s
        left_s = self._limit_s - elapsed_s + min(delayed_s, elapsed_s * _MAX_EXCLUDED)
        return max(left_s, _SHORTEST_WAIT_S) if left_s > 0 else left_s
