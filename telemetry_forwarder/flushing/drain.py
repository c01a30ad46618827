"""Decides the steps after SHUTDOWN: flush, wait for the last report, flush again. No I/O."""

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.flushing.flush_tracker import FlushTracker
from telemetry_forwarder.flushing.step import Step

# How long to wait for the last platform.report after SHUTDOWN; later ones never come.
_REPORT_WAIT_S = 0.15
# How long after its deadline a flush may still report its result.
_RESULT_WAIT_S = 0.1


class Drain:
    """The last flushes of the process, each within SHUTDOWN's deadline less the time to spool.

    If the first flush fails, there is no second one: the rest is left to the spool.
    """

    def __init__(self, deadline: Deadline, *, spool_reserve_s: float) -> None:
        self._until = deadline.less(spool_reserve_s)
        self._report_until = self._until.within(_REPORT_WAIT_S)
        self._result_until = deadline.less(spool_reserve_s - _RESULT_WAIT_S)
        self._flushes = 0

    def step(self, tracker: FlushTracker, *, has_unsent: bool, awaits_report: bool) -> Step:
        if tracker.deadline and not self._result_until.is_over():
            return Step(may_call_next=False, wake_in_s=self._result_until.left_s())
        can_flush = has_unsent and not self._until.is_over()
        if can_flush and not self._flushes:
            return self._flush(tracker)
        if awaits_report and not self._report_until.is_over():
            return Step(may_call_next=False, wake_in_s=self._report_until.left_s())
        if can_flush and self._flushes == 1 and tracker.was_delivered:
            return self._flush(tracker)
        return Step(may_call_next=False, is_over=True)

    def _flush(self, tracker: FlushTracker) -> Step:
        self._flushes += 1
        tracker.deadline = self._until
        return Step(may_call_next=False, flush=self._until)
