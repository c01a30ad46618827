"""Decides on the main thread when `next` is called, so that it never waits for what the worker computes.

The worker normally releases an invocation first. The limits here hold if it is busy: the budget after the end of the
invocation, which the listener finds in the posts, and the invocation's deadline less a margin.
"""

from telemetry_forwarder.clock import Clock, Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.receiver.messages import InvokeEvent
    from telemetry_forwarder.settings import Settings

# The main thread needs a few milliseconds of CPU to wake and send, behind one slice of a conversion.
_MARGIN_S = 0.1
_MARGIN_CPU_S = 0.02
_MOST_MARGINS = 2.0
# At most this part of the invocation's time.
_MOST_OF_TIMEOUT = 1 / 3
# A measured delay counts twice, and half as much with each invocation that follows.
_SAFETY = 2.0
_FADING = 0.5


class NextTimer:
    """The waits of the main thread. Used by it alone."""

    def __init__(self, settings: "Settings", clock: Clock) -> None:
        self._clock = clock
        self._budget_s = settings.flush_budget_ms / 1_000
        # The other modes, and a budget of zero, deliver nothing at the end of an invocation.
        self._may_wait = settings.flush in ("auto", "end") and self._budget_s > 0 and "platform" in settings.types
        self._least_margin_s = _MARGIN_S + _MARGIN_CPU_S / settings.cpu_share
        self._late_s = 0.0
        self.wakeup = -1
        """A descriptor that becomes readable when a signal arrives, which ends the wait."""
        self._wanted_at_s: float | None = None
        """When the last wait should have ended, until `next` is sent."""

    @property
    def margin_s(self) -> float:
        """How long before the deadline `next` is called: more if it was sent late before, at most twice as much."""
        margin_s = max(self._least_margin_s, _SAFETY * self._late_s)
        return min(margin_s, _MOST_MARGINS * self._least_margin_s)

    def release_by(self, deadline: Deadline) -> Deadline:
        """Return *deadline*, that of an invocation, less the margin."""
        return deadline.less(min(self.margin_s, deadline.left_s() * _MOST_OF_TIMEOUT))

    def wait(self, event: "InvokeEvent") -> None:
        """Block until `next` is to be called for *event*; not at all if nothing is delivered at the end."""
        if not self._may_wait:
            return
        limits = [event.release_by]
        while event.released_at_s is None:
            if event.has_ended and not limits[1:]:
                limits.append(Deadline.after(self._budget_s, self._clock))
            now_s = self._clock.monotonic_s()
            left_s = min([limit.left_s(now_s) for limit in limits])
            self._wanted_at_s = now_s + left_s
            if not event.changed.wait(left_s, or_readable=self.wakeup):
                return
        self._wanted_at_s = event.released_at_s

    def sent(self) -> None:
        """Note that `next` was sent: the delay since the wait should have ended determines the next margin."""
        if self._wanted_at_s is not None:
            late_s = max(0.0, self._clock.monotonic_s() - self._wanted_at_s)
            self._late_s = max(late_s, self._late_s * _FADING)
            self._wanted_at_s = None
