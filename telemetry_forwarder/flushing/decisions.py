"""The settings of the flush policy, and the step that it decides."""

from enum import Enum

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.frozen import frozen


class Mode(Enum):
    AUTO = "auto"
    END = "end"
    EVERY = "every"
    SHUTDOWN = "shutdown"


@frozen
class FlushSettings:
    mode: Mode
    interval_s: float
    """How long telemetry is held at most while an invocation runs."""
    budget_s: float
    """How long an invocation waits for a slow endpoint at most; zero turns waiting off."""
    spool_reserve_s: float
    """Time reserved at the end of SHUTDOWN for writing to disk, at the CPU share of 128 MB."""


@frozen
class Step:
    """What to do now, in this order: release `next`, spool, flush; then wait for the inbox, *wake_in_s* at most."""

    may_call_next: bool
    flush: Deadline | None = None
    """The deadline of a flush to begin. The next one comes only after `FlushPolicy.flushed`."""
    wake_in_s: float | None = None
    """None: wait until an item arrives."""
    should_spool: bool = False
    is_over: bool = False
    """After SHUTDOWN: nothing is left to wait for. Spool the rest and exit."""
