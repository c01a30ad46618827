"""The worker's loop: inbox in, outbox out, flush when the policy says so. Owns every piece of state but the sockets.

Nothing is in two places: a record is in the inbox, then in `Conversion`, then in the outbox or on disk, then
delivered or dropped, and the ledger is told of each step.
"""

from collections.abc import Sequence
from typing import Any

from telemetry_forwarder.batch import Batch
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion import Conversion
from telemetry_forwarder.delivery import Delivery
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.flush_policy import FlushPolicy
from telemetry_forwarder.flush_terms import Step
from telemetry_forwarder.inbox import Body, Inbox, Invoked, ShutDown, Subscribed
from telemetry_forwarder.ledger import Ledger, changes
from telemetry_forwarder.outbox import Outbox
from telemetry_forwarder.route import Result
from telemetry_forwarder.spool import Spool

# Left of the shutdown for writing to disk what no endpoint has taken.
SPOOL_S = 0.3
_OWN_METRICS_EVERY_S = 60.0


class Forwarder:
    """Everything behind the inbox. Belongs to the worker's thread, but for `hurry`."""

    def __init__(
        self,
        inbox: Inbox,
        conversion: Conversion,
        outbox: Outbox,
        spool: Spool,
        delivery: Delivery,
        policy: FlushPolicy,
        ledger: Ledger,
        clock: Clock,
        say: Diagnostics,
        *,
        signals: Sequence[str],
    ) -> None:
        self._inbox = inbox
        self._conversion = conversion
        self._outbox = outbox
        self._spool = spool
        self._delivery = delivery
        self._policy = policy
        self._ledger = ledger
        self._clock = clock
        self._say = say
        self._signals = signals
        self._waiting: list[Invoked] = []
        self._shut_down: ShutDown | None = None
        self._measured = ledger.snapshot()
        self._measured_at_s = clock.monotonic_s()

    def run(self) -> None:
        """Work until SHUTDOWN is dealt with. While there is nothing to do, waits without polling."""
        self._spool.restore()
        while True:
            step = self._next_step()
            if step.may_ask_next:
                self._let_go()
            if step.should_spool:
                self._write_spool(Deadline.after(SPOOL_S, self._clock))
            if step.flush is not None:
                self._flush(step.flush, lets_all_go=step.lets_all_go)
                continue
            if step.is_over:
                self._finish()
                return
            for item in self._inbox.take(step.wake_in_s):
                self._take(item)

    def hurry(self, deadline: Deadline) -> None:
        """SHUTDOWN has come: whatever is being sent must end in time to spool the rest. From any thread."""
        self._delivery.hurry(deadline.less(SPOOL_S))

    def _next_step(self) -> Step:
        held_bytes = self._outbox.held_bytes + self._spool.waiting + self._conversion.has_something
        self._policy.observed(
            held_bytes=held_bytes,
            is_nearly_full=self._outbox.is_nearly_full,
            is_circuit_open=all(map(self._delivery.is_open, self._signals)),
        )
        return self._policy.step()

    def _take(self, item: Body | Invoked | ShutDown | Subscribed) -> None:
        match item:
            case Body():
                self._convert(item)
            case Invoked():
                self._waiting.append(item)
                self._policy.invoked(item.request_id, item.deadline)
                self._conversion.invoked(item.request_id, item.arn, item.trace_header, self._clock.unix_ns())
                if self._conversion.has_ended(item.request_id):
                    self._policy.runtime_done(item.request_id, self._clock.unix_ns())
            case ShutDown():
                self._shut_down = item
                self._policy.shutting_down(item.deadline)
            case Subscribed():
                if not item.has_telemetry:
                    self._policy.telemetry_is_unsupported()

    def _convert(self, body: Body) -> None:
        try:
            batches = self._conversion.take_in(body.content, body.observed_ns)
        except Exception as exc:
            # Ours, not Lambda's: it costs this post, and everything after it goes on.
            self._ledger.records_unreadable(1)
            self._say.warn(f"a post was dropped: {type(exc).__name__}: {exc}", once_a_minute="convert")
            return
        self._put(batches)
        for request_id in self._conversion.take_ended():
            self._policy.runtime_done(request_id, body.observed_ns)
        for request_id in self._conversion.take_reported():
            self._policy.reported(request_id)

    def _put(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._outbox.put(batch)

    def _let_go(self) -> None:
        for invoked in self._waiting:
            invoked.let_go.set()
        self._waiting.clear()

    def _flush(self, deadline: Deadline, *, lets_all_go: bool) -> None:
        if self._shut_down is not None:
            self._conversion.shut_down(self._shut_down.reason, self._clock.unix_ns())
        self._put(self._conversion.take(self._clock.unix_ns(), self._own_metrics()))
        self._inbox.lets_all_go(lets_all_go)
        try:
            was_delivered = self._send(deadline)
        finally:
            self._inbox.lets_all_go(False)
        self._policy.flushed(was_delivered=was_delivered)
        self._say.debug(self._ledger.summary())

    def _send(self, deadline: Deadline) -> bool:
        """Deliver what an earlier life has left on disk, then what is held; say whether all of it went."""
        # A circuit may be open for a minute: on SHUTDOWN the endpoint gets one more chance before the disk does.
        is_last_chance = self._shut_down is not None
        has_emptied_spool = self._send_spooled(deadline, is_last_chance=is_last_chance)
        results = self._delivery.send(self._outbox.take_all(), deadline, is_last_chance=is_last_chance)
        unsent = [held for result in results if (held := self._settle(result)) is not None]
        self._outbox.put_back(unsent)
        return has_emptied_spool and not unsent

    def _send_spooled(self, deadline: Deadline, *, is_last_chance: bool) -> bool:
        while not deadline.is_over() and (entry := self._spool.take()) is not None:
            (result,) = self._delivery.send([entry.batch], deadline, is_last_chance=is_last_chance)
            if result.held is not None and result.held.items == entry.batch.items:
                self._spool.put_back(entry)
                return False
            # Some of it is done with. What is not goes to memory: from disk, all would be sent again.
            held = self._settle(result)
            self._spool.done(entry)
            if held is not None:
                self._outbox.put_back([held])
                return False
        return not self._spool.waiting

    def _settle(self, result: Result) -> Batch | None:
        """Enter into the books what became of a batch; give what is still to be delivered."""
        signal = result.batch.signal
        self._ledger.delivered(signal, result.delivered)
        self._ledger.rejected(signal, result.rejected)
        for reason, count in result.dropped.items():
            self._ledger.dropped(signal, count, reason)
        return result.held

    def _write_spool(self, deadline: Deadline) -> None:
        self._outbox.put_back(self._spool.write(self._outbox.take_all(), deadline))

    def _finish(self) -> None:
        if self._shut_down is None:
            return
        self._put(self._conversion.take(self._clock.unix_ns(), []))
        self._write_spool(self._shut_down.deadline.less(SPOOL_S / 2))
        self._let_go()
        self._say.info(self._ledger.summary())
        self._shut_down.done.set()

    def _own_metrics(self) -> list[Any]:
        """Our own state for the metrics: seldom, because each of these is a data point more in a request."""
        now_s = self._clock.monotonic_s()
        if self._shut_down is None and now_s - self._measured_at_s < _OWN_METRICS_EVERY_S:
            return []
        before, self._measured = self._measured, self._ledger.snapshot()
        self._measured_at_s = now_s
        return list(changes(before, self._measured))
