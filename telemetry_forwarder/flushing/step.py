"""The step that the flush policy decides."""

from typing import NamedTuple

from telemetry_forwarder.clock import Deadline


class Step(NamedTuple):
    """What to do now, in this order: release `next`, spool, flush; then wait for the inbox, *wake_in_s* at most."""

    may_call_next: bool
    flush: Deadline | None = None
    """The deadline of a flush to begin. The next one comes only after `FlushPolicy.flushed`."""
    wake_in_s: float | None = None
    """None: wait until an item arrives."""
    should_spool: bool = False
    finishes: bool = False
    """After SHUTDOWN: end first what is still open, because nothing else will. Once."""
    is_over: bool = False
    """After SHUTDOWN: nothing is left to wait for. Spool the rest and exit."""
