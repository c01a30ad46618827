"""A simulated collector of limited capacity, and its faults."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from math import inf

from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from tests.fleet.simulation import START_UNIX_NS, Simulation

ITEM_BYTES = 64
"""The size of every item in a simulated batch."""

Outcome = Response | Failure
Fault = Callable[[float], Outcome]
"""Returns the outcome of a request at that time; a `Failure` of the kind TIMED_OUT comes at the client's deadline."""

_ROUND_TRIP_S = 0.02
_REFUSAL_COST = 0.1


@dataclass
class Collector:
    """One queue, first in, first out. A request that would wait longer than *queue_s* is refused.

    Each request is counted in the second of its arrival, whatever becomes of it.
    """

    simulation: Simulation
    capacity_per_s: float
    queue_s: float = 2.0
    retry_after: str = ""
    """The header of a refusal; none if empty."""
    fault: Fault | None = None
    requests: Counter[int] = field(default_factory=Counter)
    accepted_bytes: Counter[int] = field(default_factory=Counter)
    accepted_items: int = 0
    _free_at_s: float = 0.0

    def answer(self, body_bytes: int) -> tuple[float, Outcome]:
        """Return after how many seconds the request that arrives now gets which outcome."""
        now_s = self.simulation.now_s
        self.requests[int(now_s)] += 1
        if self.fault is not None:
            outcome = self.fault(now_s)
            timed_out = isinstance(outcome, Failure) and outcome.kind is FailureKind.TIMED_OUT
            return (inf if timed_out else _ROUND_TRIP_S), outcome
        free_at_s = max(self._free_at_s, now_s)
        if free_at_s - now_s > self.queue_s:
            self._free_at_s = free_at_s + _REFUSAL_COST / self.capacity_per_s
            return _ROUND_TRIP_S, busy(503, self.retry_after)
        self._free_at_s = free_at_s + 1 / self.capacity_per_s
        self.accepted_items += body_bytes // ITEM_BYTES
        self.accepted_bytes[int(now_s)] += body_bytes
        return self._free_at_s - now_s + _ROUND_TRIP_S, Response(200, {}, b"")


def busy(status: int, retry_after: str = "") -> Response:
    return Response(status, {"retry-after": retry_after} if retry_after else {}, b"")


def refuses(_: float) -> Outcome:
    return Failure(FailureKind.UNREACHABLE, "Connection refused")


def hangs(_: float) -> Outcome:
    return Failure(FailureKind.TIMED_OUT, "no response in time")


def is_busy(retry_after: str) -> Fault:
    return lambda _: busy(503, retry_after)


def is_busy_until(moment_s: float) -> Fault:
    """Name the same moment, as a date, to all clients."""
    date = datetime.fromtimestamp(START_UNIX_NS / 1e9 + moment_s, UTC)
    return is_busy(format_datetime(date, usegmt=True))
