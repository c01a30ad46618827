"""The words of the flush policy: what it can be set to, and what it answers."""

from enum import Enum
from typing import Final

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.frozen import comparable, frozen


class Mode(Enum):
    AUTO = "auto"
    END = "end"
    EVERY = "every"
    SHUTDOWN = "shutdown"


@frozen
class FlushSettings:
    mode: Mode = Mode.AUTO
    interval_s: float = 5.0
    """What is held while an invocation runs waits at most this long."""
    budget_s: float = 0.5
    """What a slow endpoint may cost an invocation; zero waits for nothing."""
    flush_limit_s: float = 10.0
    """For a flush. It goes on when nobody waits for it any more: to break it off would be to send it twice."""
    release_margin_s: float = 0.2
    """Left of an invocation for Lambda to see that we are done."""
    report_wait_s: float = 0.15
    """After SHUTDOWN the last platform.report comes within this time, or never."""
    spool_reserve_s: float = 0.3
    """Left of the shutdown for writing to disk, at the CPU share of 128 MB."""


@comparable
class Step:
    """What to do now, in this order: let go, spool, flush; then wait for the inbox, but not beyond *wake_in_s*."""

    __slots__ = ("may_call_next", "flush", "wake_in_s", "should_spool", "is_over")  # noqa: RUF023  # as below

    def __init__(
        self,
        *,
        may_call_next: bool,
        flush: Deadline | None = None,
        wake_in_s: float | None = None,
        should_spool: bool = False,
        is_over: bool = False,
    ) -> None:
        self.may_call_next: Final = may_call_next
        self.flush: Final = flush
        """Ordered once: the next order comes after `flushed`."""
        self.wake_in_s: Final = wake_in_s
        """None: until something comes."""
        self.should_spool: Final = should_spool
        self.is_over: Final = is_over
        """After SHUTDOWN: nothing more to wait for. Spool what is left, and exit."""
