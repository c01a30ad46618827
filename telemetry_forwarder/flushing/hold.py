"""Withholds `next` during one invocation: until its end, then for a flush. No I/O."""

from telemetry_forwarder.clock import Deadline, Moment


class Hold:
    """The state of one invocation, from INVOKE until `next` is released, and the limits of the wait."""

    __slots__ = ("budget", "flushes_at_end", "has_flushed_end", "invoked_at", "limit")

    def __init__(
        self, invoked_at: Moment, limit: Deadline | None, *, flushes_at_end: bool, budget: Deadline | None
    ) -> None:
        self.invoked_at = invoked_at
        self.limit = limit
        """The invocation's deadline less the margin; set to None when `next` is released."""
        self.flushes_at_end = flushes_at_end
        self.budget = budget
        """How long `next` waits for a flush; None while it waits for the end of the invocation."""
        self.has_flushed_end = False

    def is_past_budget(self, now: Moment) -> bool:
        return self.budget is not None and self.budget.is_over(now.monotonic_s)

    def flush_wait_s(self, now: Moment) -> float:
        """Return how long `next` may wait for a flush that begins now; zero before the end and once released."""
        if self.limit is None or self.budget is None:
            return 0.0
        return min(self.limit.left_s(now.monotonic_s), self.budget.left_s(now.monotonic_s))
