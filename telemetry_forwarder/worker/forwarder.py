"""The worker's loop: takes items from the inbox and flushes when the policy decides so.

The ledger accounts for every telemetry item on its way through intake, store and flusher.
"""

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from math import inf

from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.export.flusher import Flusher
from telemetry_forwarder.flushing.policy import FlushPolicy
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, SendFinished, ShutdownEvent, SubscriptionResult
from telemetry_forwarder.telemetry.decoder import SLICE_BYTES
from telemetry_forwarder.worker.accounting import Accounting
from telemetry_forwarder.worker.intake import Intake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_forwarder.receiver.messages import Item

# Init waits for the replay this long. Posts that are left are replayed whenever the inbox is empty.
_MAX_REPLAY_S = 2.0
# Reserved at the end of SHUTDOWN for the spans and metrics of what it ends.
_LAST_BATCH_S = 0.05


class State(Enum):
    """What the worker is doing. SHUTTING_DOWN and DRAINING may alternate; otherwise the order is fixed."""

    SERVING = "serving"
    SHUTTING_DOWN = "shutting down"
    """SHUTDOWN has arrived, and no flush is running that was begun since."""
    DRAINING = "draining"
    """A flush begun after SHUTDOWN is running: what is converted meanwhile is sent with it."""
    CLOSED = "closed"


class Forwarder:
    """Moves telemetry from the inbox to the endpoints. For the worker's thread, except where a method names another."""

    def __init__(
        self,
        inbox: Inbox,
        intake: Intake,
        store: Store,
        *,
        flusher: Flusher,
        policy: FlushPolicy,
        accounting: Accounting,
        clock: Clock,
    ) -> None:
        self._inbox = inbox
        self._intake = intake
        self._store = store
        self.flusher = flusher
        self._policy = policy
        self.accounting = accounting
        self._clock = clock
        self._state = State.SERVING
        self._items: deque[Item] = deque()
        """Taken from the inbox and not processed yet."""
        self._withheld: list[InvokeEvent] = []
        """The INVOKE events that are not released yet."""
        self._shutdown: ShutdownEvent | None = None
        self._has_telemetry = True
        self.is_stopped = False
        """Set by the main thread: `run` returns after the step that it is in."""

    def run(self, *, on_warm: "Callable[[], None]") -> None:
        """Block until SHUTDOWN; call *on_warm* when spooled posts are replayed, 2 s have passed or SHUTDOWN came."""
        try:
            self._intake.restore()
            replay_until = Deadline.after(_MAX_REPLAY_S, self._clock)
            while self._state is State.SERVING and self._intake.has_replay and not replay_until.is_over():
                self._take_step()
            on_warm()
            while self._state is not State.CLOSED and not self.is_stopped:
                self._take_step()
        except Exception:
            if self._shutdown is None or self._shutdown.claim():
                self.spool_everything(self._store.write_deadline())
            raise

    def limit_work_to_shutdown(self, event: ShutdownEvent) -> None:
        """Make requests and conversions end in time to spool the rest before the deadline of *event*.

        To be called before the inbox receives *event*, from any thread.
        """
        self.flusher.exporters.limit_time(event.deadline.less(SPOOL_RESERVE_S))
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
        if step.finishes and self._shutdown is not None:
            self._finish(self._shutdown)
        if step.flush is not None:
            # To begin it takes time, so the next step decides how long to wait.
            self._begin_flush(step.flush)
        elif step.is_over and self._shutdown is not None and self._is_done(self._shutdown):
            self._close(self._shutdown)
        else:
            self._process_items(step.wake_in_s)

    def _is_done(self, shutdown: ShutdownEvent) -> bool:
        """Return whether no post is left to convert, or only the time to spool what is in memory."""
        return not self._intake.has_work or shutdown.deadline.left_s() < SPOOL_RESERVE_S

    def _release_invocations(self) -> None:
        while self._withheld:
            self._withheld.pop().release(self._clock.monotonic_s())

    def _process_items(self, wake_in_s: float | None) -> None:
        """Wait for items and process them; then convert a slice of the pending posts, so that no event waits long."""
        if self._intake.has_work:
            wake_in_s = min(self._intake.wait_s(), inf if wake_in_s is None else wake_in_s)
        self._items.extend(self._inbox.take(wake_in_s))
        has_items = bool(self._items)
        while self._items:
            self._process(self._items.popleft())
        if not self._intake.has_work or self._intake.wait_s() > 0.0:
            return
        self._convert_slice(may_replay=not has_items)
        if self._state is State.DRAINING:
            # Send what was converted since the drain began.
            if not self._intake.has_work:
                self._intake.collect()
            self.flusher.send_more()
            self._check_flush()

    def _process(self, item: "Item") -> None:
        match item:
            case Body():
                end = self._shutdown
                self._intake.postpone(item, to_end=end is not None and end.deadline.left_s() < SPOOL_RESERVE_S)
            case InvokeEvent():
                self._withheld.append(item)
                self._policy.invoked(item.request_id, item.release_by)
                if self._intake.invoked(item):
                    self._policy.runtime_done(item.request_id, self._clock.unix_ns())
            case SendFinished():
                self.flusher.sent(item.signal)
                self._check_flush()
            case ShutdownEvent():
                self._shutdown = item
                self._state = State.SHUTTING_DOWN
                self._policy.shutting_down(item.deadline)
            case SubscriptionResult():
                self._has_telemetry = item.has_telemetry
                if not item.has_telemetry:
                    self._policy.telemetry_unavailable()

    def _convert_slice(self, *, may_replay: bool) -> None:
        # After SHUTDOWN one post at a time, so that others are sent meanwhile.
        for result in self._intake.convert_next(1 if self._shutdown else SLICE_BYTES, may_replay=may_replay):
            for request_id in result.ended:
                self._policy.runtime_done(request_id, result.observed_ns)
            for request_id in result.reported:
                self._policy.reported(request_id)

    def _begin_flush(self, deadline: Deadline) -> None:
        shutdown = self._shutdown
        if shutdown is not None:
            self._state = State.DRAINING
        self._intake.collect(self.accounting.measurements(is_last=shutdown is not None))
        self.flusher.begin(deadline, is_last_chance=shutdown is not None and shutdown.ends_environment)
        self._check_flush()

    def _finish(self, shutdown: ShutdownEvent) -> None:
        """End what no event will end any more, and send it with the flush that is running, if there is one.

        Without telemetry an invocation is known by its INVOKE event alone, which is not exported.
        """
        if not self._has_telemetry:
            return
        self._intake.finish(shutdown.reason)
        if self._state is State.DRAINING:
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
        """Spool the unsent batches, then the items that arrived in the meantime; also if the deadline has passed."""
        if not shutdown.claim():
            self._state = State.CLOSED
            return
        # Lambda does not repeat posts that were accepted before this.
        self._inbox.refuse()
        reserve_s = min(SPOOL_RESERVE_S / 2, shutdown.deadline.left_s() / 4)
        deadline = shutdown.deadline.less(reserve_s).not_before(_LAST_BATCH_S)
        self._store.put_back(self.flusher.abandon(), deadline)
        self._intake.collect()
        self._store.spool_all(deadline)
        for item in self._inbox.take(0.0):
            self._process(item)
        convert_until = deadline.less(_LAST_BATCH_S)
        while self._intake.may_convert_backlog and not convert_until.is_over():
            self._convert_slice(may_replay=False)
        # An invocation that only the rest of the backlog would end is ended by the shutdown.
        if self._has_telemetry:
            self._intake.finish(shutdown.reason)
        self._intake.collect()
        self._store.spool_all(deadline)
        self._spool_rest(deadline)
        self._state = State.CLOSED
        self._release_invocations()
        shutdown.done.set()

    def spool_everything(self, deadline: Deadline) -> None:
        """Spool or drop all, and log the totals: a defect has ended the loop, or (main thread) it does not respond."""
        self._store.put_back(self.flusher.abandon(), deadline)
        items, self._items = [*self._items, *self._inbox.take(0.0)], deque()
        with suppress(Exception):  # The state may be inconsistent.
            self._intake.collect()
        self._spool_rest(deadline, [item for item in items if isinstance(item, Body)])

    def _spool_rest(self, deadline: Deadline, newer: Iterable[Body] = ()) -> None:
        self._intake.spool_backlog(deadline, newer)
        self._store.spool_all(deadline)
        self._store.drop_all()
        self.accounting.close(self._inbox)
