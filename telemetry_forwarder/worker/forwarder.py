"""The worker's loop: inbox in, outbox out, flush when the policy says so. Owns every piece of state but the sockets.

Nothing is in two places: a record is in the inbox, then in `Conversion`, then in the outbox or on disk, then
delivered or dropped, and the ledger is told of each step.
"""

from collections.abc import Sequence

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.export.exporter import Exporters
from telemetry_forwarder.export.flusher import Flusher
from telemetry_forwarder.flushing.decisions import Observation, Step
from telemetry_forwarder.flushing.policy import FlushPolicy
from telemetry_forwarder.otlp.self_metrics import SelfMetrics
from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import (
    Body,
    InvokeEvent,
    SendFinished,
    ShutdownEvent,
    SubscriptionResult,
)
from telemetry_forwarder.worker.backlog import Backlog
from telemetry_forwarder.worker.memory import FreeMemory


class Forwarder:
    """Everything behind the inbox. Belongs to the worker's thread, but for `hurry`."""

    def __init__(
        self,
        inbox: Inbox,
        conversion: Converter,
        outbox: Outbox,
        spool: Spool,
        exporters: Exporters,
        policy: FlushPolicy,
        ledger: Ledger,
        clock: Clock,
        log: Diagnostics,
        *,
        signals: Sequence[str],
        repeats: DuplicatePosts | None = None,
        cpu_share: float = 1.0,
    ) -> None:
        """*signals* are those that there is an endpoint for; without *repeats* every post is a new one."""
        self._inbox = inbox
        self._conversion = conversion
        self._holding = Store(outbox, spool, ledger, clock)
        self._exporters = exporters
        self._flush = Flusher(inbox, outbox, spool, exporters, ledger)
        self._backlog = Backlog(conversion, spool, ledger, clock, cpu_share=cpu_share)
        self._policy = policy
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._signals = signals
        self._repeats = repeats
        self._free_memory = FreeMemory()
        self._waiting: list[InvokeEvent] = []
        self._shut_down: ShutdownEvent | None = None
        self._is_draining = False
        self._has_flushed = False
        self._has_telemetry = True
        self._own_metrics = SelfMetrics(ledger, clock.monotonic_s())

    def run(self) -> None:
        """Work until SHUTDOWN is dealt with. While there is nothing to do, waits without polling."""
        try:
            self._backlog.restore()
            self._work()
        except Exception:
            self._rescue()
            raise

    def _rescue(self) -> None:
        """Something of ours has broken: what is held goes to disk, and the books are closed."""
        deadline = Deadline.after(SPOOL_RESERVE_S, self._clock)
        self._holding.put_back(self._flush.abandon(), deadline)
        self._backlog.keep_rest(deadline)
        self._close_books(deadline)

    def _work(self) -> None:
        while True:
            step = self._next_step()
            if step.may_call_next:
                self._let_go()
            if self._has_flushed:
                self._has_flushed = False
                self._free_memory.give_back()
            if step.should_spool:
                self._holding.spool_all(Deadline.after(SPOOL_RESERVE_S, self._clock))
            if step.flush is not None:
                self._begin_flush(step.flush)
                # To begin it has taken its time: how long to wait is another step's.
                continue
            if step.is_over and self._shut_down is not None and not self._backlog.has_work:
                self._finish(self._shut_down)
                return
            self._take_items(step.wake_in_s)

    def hurry(self, deadline: Deadline) -> None:
        """SHUTDOWN has come: whatever is going on must end in time to spool the rest. From any thread."""
        self._exporters.hurry(deadline.less(SPOOL_RESERVE_S))
        self._backlog.end(deadline)

    def close(self) -> None:
        """Close the connections that are kept; for those who outlive `run`."""
        self._exporters.close()

    def _next_step(self) -> Step:
        observation = Observation(
            has_unsent=self._holding.has_batches or self._conversion.has_something,
            is_nearly_full=self._holding.is_nearly_full,
            is_circuit_open=all(map(self._exporters.is_failing, self._signals)),
        )
        return self._policy.step(observation)

    def _take_items(self, wake_in_s: float | None) -> None:
        """Everything; from SHUTDOWN on, posts one at a time, so that what they make is sent meanwhile."""
        backlog = self._backlog
        items = self._inbox.take(0.0 if backlog.has_work else wake_in_s)[::-1]
        has_come = bool(items)
        try:
            for item in items:
                if isinstance(item, ShutdownEvent):
                    # Before the posts that came first: there may be more of them than time.
                    self._end_backlog(item)
            while items:
                # Each goes as soon as it is dealt with: together they may be all that the inbox takes.
                if isinstance(item := items.pop(), Body) and backlog.is_ending:
                    backlog.add(item)
                else:
                    self._take(item)
        except Exception:
            # Ours. What is left of them must get to disk.
            for item in reversed(items):
                if isinstance(item, Body):
                    backlog.add(item)
            raise
        if not backlog.is_empty:
            self._take_body(backlog.take())
        elif backlog.has_past and not has_come:
            self._holding.put(backlog.convert_past())
        else:
            return
        if self._is_draining:
            if not backlog.has_work:
                self._end_conversion()
            self._flush.go_on()
            self._note_flush()

    def _end_conversion(self) -> None:
        """The last post is converted: what is open ends, and goes with the flush that is under way."""
        if self._shut_down is not None:
            self._conversion.shut_down(self._shut_down.reason, self._clock.unix_ns())
            self._holding.put(self._conversion.take(self._clock.unix_ns(), []))

    def _end_backlog(self, shut_down: ShutdownEvent) -> None:
        self._backlog.end(shut_down.deadline)
        if shut_down.ends_environment:
            self._backlog.end_for_good()

    def _take(self, item: Body | InvokeEvent | ShutdownEvent | SubscriptionResult | SendFinished) -> None:
        match item:
            case Body():
                self._take_body(item)
            case InvokeEvent():
                self._waiting.append(item)
                self._policy.invoked(item.request_id, item.deadline)
                self._conversion.invoked(item.request_id, item.arn, item.trace_header, self._clock.unix_ns())
                if self._conversion.has_ended(item.request_id):
                    self._policy.runtime_done(item.request_id, self._clock.unix_ns())
            case SendFinished():
                self._flush.sent(item.signal)
                self._note_flush()
            case ShutdownEvent():
                self._end_backlog(item)
                self._shut_down = item
                self._policy.shutting_down(item.deadline)
            case SubscriptionResult():
                self._has_telemetry = item.has_telemetry
                if not item.has_telemetry:
                    self._policy.telemetry_unavailable()

    def _take_body(self, body: Body) -> None:
        if self._is_repeated(body):
            self._ledger.duplicate_posts(1)
        else:
            self._convert(body)

    def _is_repeated(self, body: Body) -> bool:
        # The pieces of a cut record have one time, and may well be of the same bytes: "xxxx" and "xxxx".
        may_be_piece = self._conversion.holds_piece
        return self._repeats is not None and not self._repeats.is_new(body.content) and not may_be_piece

    def _convert(self, body: Body) -> None:
        try:
            batches = self._backlog.convert(body)
        except Exception as exc:
            # Ours, not Lambda's: it costs this post, and everything after it goes on.
            self._ledger.posts_dropped(1)
            self._log.warn(f"a post was dropped: {type(exc).__name__}: {exc}", once_a_minute="convert")
            return
        self._holding.put(batches)
        self._free_memory.used(len(body.content))
        if self._conversion.has_much:
            self._holding.put(self._conversion.take(self._clock.unix_ns(), []))
        for request_id in self._conversion.take_ended():
            self._policy.runtime_done(request_id, body.observed_ns)
        for request_id in self._conversion.take_reported():
            self._policy.reported(request_id)

    def _let_go(self) -> None:
        while self._waiting:
            self._waiting.pop().released.set()

    def _begin_flush(self, deadline: Deadline) -> None:
        self._is_draining = self._shut_down is not None
        if self._shut_down is not None and self._backlog.is_empty:
            self._conversion.shut_down(self._shut_down.reason, self._clock.unix_ns())
        own = self._own_metrics.take(self._clock.monotonic_s(), is_last=self._shut_down is not None)
        self._holding.put(self._conversion.take(self._clock.unix_ns(), own))
        is_last_chance = self._shut_down is not None and self._shut_down.ends_environment
        self._flush.begin(deadline, is_last_chance=is_last_chance)
        self._note_flush()

    def _note_flush(self) -> None:
        if self._flush.is_over and not (self._is_draining and self._backlog.has_work):
            self._policy.flushed(was_delivered=self._flush.was_delivered)
            # What comes from now on is another flush's: nobody would wait for it in this one.
            self._is_draining = False
            self._has_flushed = True
            self._log.debug(self._ledger.summary)

    def _finish(self, shut_down: ShutdownEvent) -> None:
        deadline = shut_down.deadline.less(min(SPOOL_RESERVE_S / 2, shut_down.deadline.left_s() / 4))
        self._holding.put_back(self._flush.abandon(), deadline)
        self._holding.put(self._conversion.take(self._clock.unix_ns(), []))
        self._holding.spool_all(deadline)
        # What was taken from Lambda since then has nobody else to keep it.
        self._inbox.close()
        for item in self._inbox.take(0.0):
            self._take(item)
        if self._has_telemetry:
            self._conversion.shut_down(shut_down.reason, self._clock.unix_ns())
        self._holding.put(self._conversion.take(self._clock.unix_ns(), []))
        self._backlog.keep_rest(deadline)
        self._close_books(deadline)
        self._let_go()
        shut_down.done.set()

    def _close_books(self, deadline: Deadline) -> None:
        self._holding.spool_all(deadline)
        self._holding.drop_all()
        self._ledger.posts_refused(self._inbox.take_refusals())
        self._log.info(self._ledger.summary())
