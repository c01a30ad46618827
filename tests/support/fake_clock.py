"""A clock that stands still until a test moves it."""

from typing import SupportsIndex

from telemetry_forwarder.clock import Clock


class FakeClock(Clock):
    def __init__(self, *, unix_ns: int = 1_790_000_000_000_000_000, monotonic_s: float = 1_000.0) -> None:
        super().__init__()
        self._unix_ns = unix_ns
        self._monotonic_s = monotonic_s
        self._thread_cpu_s = 0.0
        self.sleeps: list[float] = []

    def unix_ns(self) -> int:
        return self._unix_ns

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def thread_cpu_s(self) -> float:
        return self._thread_cpu_s

    def use_cpu(self, seconds: float) -> None:
        """Count CPU time of the thread; the clocks stand still."""
        self._thread_cpu_s += seconds

    def sleep(self, seconds: float | SupportsIndex, /) -> None:
        """Note *seconds* in `sleeps` and let them pass at once."""
        self.sleeps.append(float(seconds))
        self.advance(float(seconds))

    def advance(self, seconds: float) -> None:
        """Move both clocks."""
        self.jump_wall(seconds)
        self._monotonic_s += seconds

    def jump_wall(self, seconds: float) -> None:
        """Move only the wall clock, as happens when a sandbox is thawed."""
        self._unix_ns += round(seconds * 1_000_000_000)
