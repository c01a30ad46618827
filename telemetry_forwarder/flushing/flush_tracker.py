"""Tracks the running flush, the result of the last one, and whether the endpoint is slow. No I/O."""

from telemetry_forwarder.clock import Deadline, Moment

_RETRY_S = 1.0
# After a flush overran the budget, no invocation waits for one for this long: each would wait without a result.
_SLOW_S = 30.0


class FlushTracker:
    """Knows at most one running flush: it begins when *deadline* is set and ends with `finished`."""

    def __init__(self) -> None:
        self.deadline: Deadline | None = None
        """The running flush's deadline. It may pass before the flush has finished."""
        self.finished_at: Moment | None = None
        self.was_delivered = True
        """Whether the last flush delivered everything."""
        self.overran_at: Moment | None = None
        """When a flush last took longer than an invocation waits for it."""

    def finished(self, now: Moment, *, was_delivered: bool) -> None:
        self.deadline = None
        self.finished_at = now
        self.was_delivered = was_delivered

    def is_within_deadline(self, now: Moment) -> bool:
        """Return whether a flush is running and worth waiting for."""
        return self.deadline is not None and not self.deadline.is_over(now.monotonic_s)

    def is_slow(self, now: Moment) -> bool:
        return self.overran_at is not None and now.since_s(self.overran_at) < _SLOW_S

    def retry_in_s(self, now: Moment) -> float:
        """Return the seconds until another flush may begin; zero unless the last one failed."""
        if self.was_delivered or not self.finished_at:
            return 0.0
        return max(0.0, _RETRY_S - now.since_s(self.finished_at))
