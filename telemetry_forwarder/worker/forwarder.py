"""The worker's loop: takes items from the inbox and flushes when the policy decides so.

The ledger accounts for every item on its way. While the worker waits or converts, the main thread may take over.
"""

from collections.abc import Callable
from enum import Enum
from math import inf

from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.export.flusher import Flusher
from telemetry_forwarder.flushing.policy import FlushPolicy
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import (
    Body,
    InvokeEvent,
    Item,
    SendFinished,
    ShutdownEvent,
    SubscriptionResult,
)
from telemetry_forwarder.telemetry.decoder import SLICE_BYTES
from telemetry_forwarder.worker.accounting import Accounting
from telemetry_forwarder.worker.intake import Intake
from telemetry_forwarder.worker.last_resort import LastResort

# Init waits for the replay this long. Posts that are left are replayed whenever the inbox is empty.
_MAX_REPLAY_S = 2.0
# Reserved at the end of SHUTDOWN for the spans and metrics of what it ends.
_LAST_BATCH_S = 0.05


class State(Enum):
    """What the worker is doing. SHUTTING_DOWN and DRAINING may alternate; otherwise the order is fixed."""

    SERVING = "serving"
    SHUTTING_DOWN = "shutting down"
    DRAINING = "draining"
    """A flush begun after SHUTDOWN is running: what is converted meanwhile is sent with it."""
    CLOSED = "closed"


class Forwarder:
    """Moves telemetry from the inbox to the endpoints. For the thread with the ownership, unless stated otherwise."""

    def __init__(
        self,
        inbox: Inbox,
        intake: Intake,
        store: Store,
        *,
        flusher: Flusher,
        policy: FlushPolicy,
        accounting: Accounting,
        last_resort: LastResort,
        ownership: Ownership,
        clock: Clock,
    ) -> None:
        self._inbox = inbox
        self._intake = intake
        self._store = store
        self.flusher = flusher
        self._policy = policy
        self.accounting = accounting
        self.last_resort = last_resort
        self._ownership = ownership
        self._clock = clock
        self._state = State.SERVING
        self._withheld: list[InvokeEvent] = []
        self._shutdown: ShutdownEvent | None = None
        self._has_telemetry = True

    def run(self, *, on_warm: Callable[[], None]) -> None:
        """Block until SHUTDOWN; call *on_warm* when spooled posts are replayed, 2 s have passed or SHUTDOWN came.

        Raises `OwnershipLost` if the main thread takes over. If it requests that, return after the step that runs.
        """
        self._ownership.enter()
        try:
            self._intake.restore()
            replay_until = Deadline.after(_MAX_REPLAY_S, self._clock)
            while self._state is State.SERVING and self._intake.has_replay and not replay_until.is_over():
                self._take_step()
            on_warm()
            while self._state is not State.CLOSED and not self._ownership.is_requested:
                self._take_step()
        except Exception:
            self._store_everything(self._store.write_deadline(), None)
            raise
        finally:
            self._ownership.leave()

    def limit_work_to_shutdown(self, event: ShutdownEvent) -> None:
        """Make all work end in time to spool the rest. For any thread, before the inbox receives *event*."""
        self.flusher.exporters.limit_time(event.deadline.less(SPOOL_RESERVE_S))
        self._store.limit_time(event.take_over_at)
        self._intake.shut_down(event)

    def _take_step(self) -> None:
        step = self._policy.step(
            has_unsent=self._store.has_batches or self._intake.has_pending_events,
            is_nearly_full=self._store.is_nearly_full,
            is_circuit_open=self.flusher.exporters.are_all_failing,
            has_open_phase=self._shutdown is not None and self._intake.has_open_phase,
            has_backlog=self._intake.has_backlog,
        )
        if step.may_call_next:
            self._release_invocations()
        self._intake.memory.trim()
        if step.should_spool:
            self._store.spool_all(self._store.write_deadline())
        # Without telemetry an invocation is known by its INVOKE event alone, which is not exported.
        if step.finishes and self._shutdown is not None and self._has_telemetry:
            self._finish(self._shutdown)
        if step.flush is not None:
            # To begin it takes time, so the next step decides how long to wait.
            self._begin_flush(step.flush)
        elif step.is_over and self._shutdown is not None and not self._intake.has_work:
            self._close(self._shutdown)
        else:
            self._process_items(step.wake_in_s)

    def _release_invocations(self) -> None:
        while self._withheld:
            self._withheld.pop().release(self._clock.monotonic_s())

    def _process_items(self, wake_in_s: float | None) -> None:
        """Wait for items and process them; then convert a slice of the pending posts, so that no event waits long."""
        if self._intake.has_work:
            wake_in_s = min(self._intake.wait_s(), inf if wake_in_s is None else wake_in_s)
        self._ownership.release(lambda: self._inbox.wait(wake_in_s))
        has_items = self._process_inbox()
        if not self._intake.has_work or self._intake.wait_s() > 0.0:
            return
        self._convert_slice(may_replay=not has_items)
        if self._state is State.DRAINING:
            self._send_converted(is_all=not self._intake.has_work)

    def _process_inbox(self) -> bool:
        """Process all items; return whether there were any."""
        items = self._inbox.take()
        self._intake.postpone([item for item in items if isinstance(item, Body)])
        for item in items:
            self._process(item)
        return bool(items)

    def _process(self, item: Item) -> None:
        match item:
            case InvokeEvent():
                self._withheld.append(item)
                self._policy.invoked(item.request_id, item.release_by)
                if self._intake.invoked(item):
                    self._policy.runtime_done(item.request_id, self._clock.unix_ns())
            case SendFinished():
                self.flusher.sent(item.signal)
                self._check_flush()
            case ShutdownEvent():
                self._shutdown, self._state = item, State.SHUTTING_DOWN
                self._policy.shutting_down(item.deadline)
            case SubscriptionResult():
                self._has_telemetry = item.has_telemetry
                if not item.has_telemetry:
                    self._policy.telemetry_unavailable()

    def _convert_slice(self, *, may_replay: bool) -> None:
        # After SHUTDOWN one post at a time, so that others are sent meanwhile.
        for result in self._intake.convert_next(1 if self._shutdown else SLICE_BYTES, may_replay=may_replay):
            for event in self._withheld:
                event.correct(self._clock.slow_by_ns)
            for request_id in result.ended:
                self._policy.runtime_done(request_id, result.observed_ns)
            for request_id in result.reported:
                self._policy.reported(request_id)

    def _begin_flush(self, deadline: Deadline) -> None:
        shutdown, is_last = self._shutdown, self._shutdown is not None
        if is_last:
            self._state = State.DRAINING
        self._intake.collect(self.accounting.measurements(is_last=is_last))
        self.flusher.begin(deadline, is_last=is_last, is_last_chance=bool(shutdown and shutdown.ends_environment))
        self._check_flush()

    def _finish(self, shutdown: ShutdownEvent) -> None:
        """End what no event will end any more, and send it with the flush that is running, if there is one."""
        self._intake.finish(shutdown.reason)
        if self._state is State.DRAINING:
            self._send_converted(is_all=True)

    def _send_converted(self, *, is_all: bool) -> None:
        """Send what was converted since the drain began; spans and metrics, too, if that *is_all*."""
        if is_all:
            self._intake.collect()
        self.flusher.send_more()
        self._check_flush()

    def _check_flush(self) -> None:
        """Report the end of the flush to the policy, if it has ended."""
        is_draining = self._state is State.DRAINING
        if not self.flusher.is_over or (is_draining and self._intake.has_work):
            return
        if is_draining:
            # No step waits for this flush any more: what arrives later is sent with the next one.
            self._state = State.SHUTTING_DOWN
        self._policy.flushed(was_delivered=self.flusher.was_delivered)
        self._intake.memory.freed()
        self.accounting.flushed()

    def _close(self, shutdown: ShutdownEvent) -> None:
        """Store the unsent batches, then the items that arrived in the meantime; also if the deadline has passed."""
        # Lambda does not repeat posts that were accepted before this.
        self._inbox.refuse()
        reserve_s = min(SPOOL_RESERVE_S / 2, shutdown.deadline.left_s() / 4)
        deadline = shutdown.deadline.less(reserve_s).not_before(_LAST_BATCH_S)
        self._store.put_back(self.flusher.abandon(), deadline)
        self._intake.collect()
        self._store.spool_all(deadline)
        self._process_inbox()
        while self._intake.may_convert_backlog and not deadline.less(_LAST_BATCH_S).is_over():
            self._convert_slice(may_replay=False)
        self._store_everything(deadline, shutdown.reason)
        self.log_totals()
        self._state = State.CLOSED
        self._release_invocations()
        shutdown.done.set()

    def store_at_end(self, event: ShutdownEvent) -> None:
        """Spool all that is held, or drop what the disk does not take before the process has to exit."""
        self._store_everything(event.exit_by, event.reason)

    def _store_everything(self, deadline: Deadline, reason: str | None) -> None:
        """As `store_at_end`. A SHUTDOWN for *reason* ends what is open; without one, a defect has ended the loop."""
        self._store.put_back(self.flusher.abandon(), deadline)
        self._intake.end(reason if self._has_telemetry else None)
        self._store.spool_all(deadline)
        self._intake.spool_backlog(deadline, self._inbox.take(), between=self._ownership.release)
        self._store.spool_all(deadline)
        self._store.drop_all()

    def log_totals(self, problem: str = "") -> None:
        """Log *problem* and the final accounts at the first call. For any thread, with or without the ownership."""
        waiting = sum(isinstance(item, Body) for item in self._inbox.take())
        self.accounting.close(self._inbox, unstored_posts=waiting + self._intake.pending_posts, problem=problem)
