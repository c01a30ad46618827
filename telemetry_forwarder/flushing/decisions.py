"""The inputs and the result of the flush policy: settings, observation and step."""

from enum import Enum
from typing import NamedTuple

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.frozen import frozen


class Mode(Enum):
    AUTO = "auto"
    END = "end"
    EVERY = "every"
    SHUTDOWN = "shutdown"


@frozen
class FlushSettings:
    mode: Mode = Mode.AUTO
    interval_s: float = 5.0
    """How long telemetry is held at most while an invocation runs."""
    budget_s: float = 0.5
    """How long an invocation waits for a slow endpoint at most; zero turns waiting off."""
    flush_limit_s: float = 10.0
    """The time limit of a flush. It outlasts the budget: a flush that is cut short is sent twice."""
    release_margin_s: float = 0.2
    """Time left of an invocation for Lambda to receive our request for `next`."""
    report_wait_s: float = 0.15
    """How long to wait for the last platform.report after SHUTDOWN; later ones never come."""
    spool_reserve_s: float = 0.3
    """Time left of the shutdown for writing to disk, at the CPU share of 128 MB."""


class Observation(NamedTuple):
    """What the worker observes before a step."""

    has_unsent: bool
    """Whether there is telemetry that could be sent, in memory or on disk."""
    is_nearly_full: bool
    """Whether the outbox needs room soon."""
    is_circuit_open: bool
    """Whether the circuit breakers of all endpoints are open."""


class Step(NamedTuple):
    """What to do now, in this order: release `next`, spool, flush; then wait for the inbox, *wake_in_s* at most."""

    may_call_next: bool
    flush: Deadline | None = None
    """The deadline of a flush to begin. The next one comes only after `FlushPolicy.flushed`."""
    wake_in_s: float | None = None
    """None: wait until an item arrives."""
    should_spool: bool = False
    is_over: bool = False
    """After SHUTDOWN: nothing is left to wait for. Spool the rest and exit."""
