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

    What is still open is ended when no event is expected that would do so, and sent like everything else. If a flush
    fails, no other follows: the rest is left to the spool.
    """

    def __init__(self, deadline: Deadline, *, spool_reserve_s: float) -> None:
        self._until = deadline.less(spool_reserve_s)
        self._report_until = self._until.within(_REPORT_WAIT_S)
        self._result_until = deadline.less(spool_reserve_s - _RESULT_WAIT_S)
        self._has_flushed = False
        self._has_finished = False

    def step(self, tracker: FlushTracker, *, has_unsent: bool, awaits_report: bool, has_backlog: bool) -> Step:
        awaits_report &= not self._report_until.is_over()
        finishes = not (self._has_finished or awaits_report or has_backlog)
        self._has_finished |= finishes
        if tracker.deadline and not self._result_until.is_over():
            until = self._report_until if awaits_report else self._result_until
            return Step(may_call_next=False, finishes=finishes, wake_in_s=until.left_s())
        if self._until.is_over():
            return Step(may_call_next=False, finishes=finishes, is_over=True)
        may_flush = not self._has_flushed or (self._has_finished and tracker.was_delivered)
        if may_flush and (has_unsent or finishes):
            self._has_flushed = True
            tracker.deadline = self._until
            return Step(may_call_next=False, finishes=finishes, flush=self._until)
        if awaits_report:
            return Step(may_call_next=False, wake_in_s=self._report_until.left_s())
        return Step(may_call_next=False, finishes=finishes, is_over=True)
