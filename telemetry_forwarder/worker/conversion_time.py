"""Limits the time of conversions: while an invocation runs, because the function needs the CPU, and after SHUTDOWN.

Posts that are not converted then are kept as they are, in memory or on disk.
"""

from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.receiver.messages import InvokeEvent, ShutdownEvent
from telemetry_forwarder.telemetry.decoder import SLICE_BYTES

# By how much conversions may lengthen an invocation: a fixed time, and a share of its duration.
_LONGER_BY_S = 0.1
_LONGER_BY_SHARE = 0.05

# Measured with one-character lines, the slowest case per byte; typical lines take a quarter.
_CONVERSION_CPU_S_PER_BYTE = 0.12 / 1_000_000
# Twice what was measured.
_SPOOLING_CPU_S_PER_BYTE = 0.002 / 1_000_000
# Time reserved at the end of SHUTDOWN for sending what was converted, and for steps that cannot be interrupted.
_SENDING_S = 0.4


class ConversionTime:
    """For the worker's thread, except `shut_down`. Nothing is limited before the first INVOKE."""

    def __init__(self, clock: Clock, *, cpu_share: float) -> None:
        """*cpu_share* is that of the environment after init."""
        self._clock = clock
        self._cpu_share = cpu_share
        self._event: InvokeEvent | None = None
        self._invoked_at_s = 0.0
        self._used_cpu_s = 0.0
        self._until: Deadline | None = None
        self._spool_at: Deadline | None = None
        self.is_last_chance = False
        """Whether no process follows that could read the disk."""

    @property
    def is_shutting_down(self) -> bool:
        return self._until is not None

    @property
    def is_over(self) -> bool:
        """Whether only the time to spool what is in memory is left."""
        return self._spool_at is not None and self._spool_at.is_over()

    def shut_down(self, event: ShutdownEvent) -> None:
        """Convert only what can be done well before the deadline of *event*. The first call counts. For any thread."""
        if self._until is None:
            self.is_last_chance = event.ends_environment
            # Lambda may leave less than the reserve, and most posts take milliseconds.
            reserve_s = min(SPOOL_RESERVE_S + _SENDING_S, event.deadline.left_s() / 2)
            self._until = event.deadline.less(reserve_s)
            self._spool_at = event.deadline.less(SPOOL_RESERVE_S)

    def invoked(self, event: InvokeEvent) -> None:
        """Limit conversions until *event* has ended."""
        self._event = event
        self._invoked_at_s = self._clock.monotonic_s()
        self._used_cpu_s = 0.0

    def used(self, cpu_s: float) -> None:
        """Count the CPU time of a conversion."""
        self._used_cpu_s += cpu_s

    def wait_s(self) -> float:
        """Return the seconds until something may be converted; zero if it may now."""
        if self._event is None or self._until is not None or self._event.has_ended:
            return 0.0
        # The function may have wanted the same CPU: it is later by as much as our share of it took.
        late_s = self._used_cpu_s / self._cpu_share - _LONGER_BY_S
        if late_s <= 0.0:
            return 0.0
        return max(0.0, late_s / _LONGER_BY_SHARE - (self._clock.monotonic_s() - self._invoked_at_s))

    def is_enough_for(self, left_bytes: int, backlog_bytes: int) -> bool:
        """Return whether a slice of *left_bytes* can be converted before the end, and everything else be spooled."""
        if self._until is None:
            return True
        cpu_s = min(left_bytes, SLICE_BYTES) * _CONVERSION_CPU_S_PER_BYTE
        cpu_s += (left_bytes + backlog_bytes) * _SPOOLING_CPU_S_PER_BYTE
        return self._until.left_s() > cpu_s / self._cpu_share
