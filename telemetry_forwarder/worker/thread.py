"""The worker's thread: waits for the imports of the warm-up and runs the forwarder.

No exception leaves it, and whatever happens, the main thread is never left waiting. If the worker does not answer at
SHUTDOWN, the main thread stores what is held.
"""

import threading
from contextlib import suppress

from telemetry_forwarder.core.ownership import Ownership, OwnershipLost
from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent
from telemetry_forwarder.receiver.next_timer import NextTimer
from telemetry_forwarder.startup.threads import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_forwarder.clock import Clock
    from telemetry_forwarder.diagnostics import Diagnostics
    from telemetry_forwarder.settings import Settings
    from telemetry_forwarder.startup.warm_up import WarmUp
    from telemetry_forwarder.worker.forwarder import Forwarder
    from telemetry_forwarder.worker.last_resort import LastResort

# Before the deadline of SHUTDOWN. A forwarder that is built later could not convert any more, only store.
_LEAST_TO_BEGIN_S = 0.7
# Before the deadline, or half of the time if that is less: posts are refused, so that storing what is held can end.
_REFUSAL_S = 0.5


class Worker:
    """Runs the forwarder from `start` to SHUTDOWN. If it fails, releases every event without it."""

    def __init__(
        self,
        settings: "Settings",
        environ: "Mapping[str, str]",
        registration: bytes,
        *,
        clock: "Clock",
        log: "Diagnostics",
        warm_up: "WarmUp",
    ) -> None:
        self.inbox = Inbox(settings.inbox_bytes)
        self.timer = NextTimer(settings, clock)
        """For the main thread: when it calls `next`."""
        self.is_warm = Latch()
        """Set when everything is imported and built and spooled posts are replayed, or when that has failed."""
        self.has_returned = Latch()
        """Set when the forwarder does not change anything any more."""
        self._settings = settings
        self._environ = environ
        self._registration = registration
        self._clock = clock
        self._log = log
        self._warm_up = warm_up
        self._ownership = Ownership()
        self._forwarder: Forwarder | None = None
        self._last_resort: LastResort | None = None
        self._last_event: InvokeEvent | ShutdownEvent | None = None
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Start the thread, if it has not started yet. Raises `ThreadStartError`."""
        start_thread(self._thread)

    def shut_down(self, event: ShutdownEvent) -> None:
        """Pass *event* on and block until the forwarder has finished. If it does not answer, store what is held.

        Returns shortly before the deadline of *event*, or half a second from now if that is later.
        """
        refuse_at = event.deadline.less(min(_REFUSAL_S, event.deadline.left_s() / 2))
        self.put_event(event)
        if self._thread.ident is not None:
            event.done.wait(event.deadline.less(_LEAST_TO_BEGIN_S).left_s())
            if self._holder is not None:
                event.done.wait(refuse_at.left_s())
                self.inbox.refuse()
                event.done.wait(event.take_over_at.left_s())
        if not event.done.is_set():
            self._take_over(event)

    @property
    def _holder(self) -> "Forwarder | LastResort | None":
        """What holds the telemetry; None before it is built."""
        return self._last_resort or self._forwarder

    def _take_over(self, event: ShutdownEvent) -> None:
        """Store what is held and log the totals."""
        self.inbox.refuse()
        self._ownership.is_requested = True
        if self._holder is not None:
            # A worker that is only slow finishes its step; with little CPU, the kernel pauses the process meanwhile.
            self.has_returned.wait(event.exit_by.left_s() / 2)
        has_taken = self._ownership.take(event.exit_by.left_s())
        if event.done.is_set():
            return
        holder, problem = self._holder, "forwarding does not respond; what is held is stored"
        if holder is None:
            holder = self._new_last_resort()
            problem = "the end came before forwarding was ready; posts are stored as received"
        if has_taken:
            self._log.warn(problem)
            holder.store_at_end(event)
            problem = ""
        # Otherwise not even a step has ended, such as a write to the disk; or the last one is about to.
        holder.log_totals(problem)

    def _new_last_resort(self) -> "LastResort":
        from telemetry_forwarder.buffer.ledger import Ledger
        from telemetry_forwarder.buffer.spool_settings import new_spool
        from telemetry_forwarder.receiver.connections import MAX_POST_BYTES
        from telemetry_forwarder.worker.last_resort import LastResort

        ledger = Ledger()
        spool = new_spool(
            self._settings,
            self._environ,
            largest_post_bytes=MAX_POST_BYTES,
            ledger=ledger,
            clock=self._clock,
            log=self._log,
        )
        return LastResort(self.inbox, spool, ledger, clock=self._clock, log=self._log, unclosed=threading.Lock())

    def put_event(self, event: InvokeEvent | ShutdownEvent) -> None:
        """Pass on Lambda's event. SHUTDOWN also limits the time of running requests."""
        self._last_event = event
        self._limit_work_to_shutdown()
        self.inbox.put_event(event)
        self._release_if_ended()

    def _limit_work_to_shutdown(self) -> None:
        # Called by both threads: SHUTDOWN may arrive before or after the forwarder is built.
        forwarder, event = self._forwarder, self._last_event
        if forwarder is not None and isinstance(event, ShutdownEvent):
            forwarder.limit_work_to_shutdown(event)

    def _release_if_ended(self) -> None:
        # Called by both threads: an event may arrive before or after the end.
        if self.has_returned.is_set() and isinstance(self._last_event, InvokeEvent):
            self._last_event.release(self._clock.monotonic_s())

    def _run(self) -> None:
        try:
            # Otherwise the main thread has taken over: it has stored what is held.
            with suppress(OwnershipLost):
                self._forward()
        finally:
            # If even that has failed, no event waits for a thread that has ended.
            self.has_returned.set()
            self.inbox.close()
            self._release_if_ended()

    def _forward(self) -> None:
        try:
            self._warm_up.wait()
            from telemetry_forwarder.worker.wiring import build_forwarder

            self._forwarder = forwarder = build_forwarder(
                self._settings,
                self._environ,
                self._registration,
                inbox=self.inbox,
                ownership=self._ownership,
                clock=self._clock,
                log=self._log,
            )
            self._limit_work_to_shutdown()
            if self._settings.checks:
                self._start_check()
            forwarder.run(on_warm=self.is_warm.set)
        except OwnershipLost:
            raise
        except BaseException as exc:  # noqa: BLE001  # the function must not wait for a thread that has ended
            self._log.error(f"forwarding stopped: {type(exc).__name__}: {exc}; invocations continue without it")
            self._ownership.enter()
            try:
                self._replace_forwarder()
                self.is_warm.set()
                self._store_posts()
            finally:
                self._ownership.leave()

    def _start_check(self) -> None:
        """Check the endpoints in another thread, so that neither a flush nor an event waits for them."""
        try:
            start_thread(threading.Thread(target=self._check, name="check", daemon=True))
        except ThreadStartError as exc:
            self._log.warn(f"the endpoints are not checked: {exc}")

    def _check(self) -> None:
        # By then init does not wait for the worker any more.
        self.is_warm.wait()
        from telemetry_forwarder.check.checker import log_findings

        log_findings(self._environ, self._clock, self._log)

    def _replace_forwarder(self) -> None:
        forwarder = self._forwarder
        # What made the forwarder fail may make this fail, too.
        with suppress(Exception):
            self._last_resort = forwarder.last_resort if forwarder else self._new_last_resort()
        self._forwarder = None

    def _store_posts(self) -> None:
        """Release every event, and store the posts as they are received, until SHUTDOWN."""
        # The forwarder may have taken the last event out of the inbox before it failed.
        items = self.inbox.take()
        if self._last_event is not None:
            items.append(self._last_event)
        dropped_posts = 0
        while not self._ownership.is_requested:
            for item in items:
                if isinstance(item, InvokeEvent):
                    item.release(self._clock.monotonic_s())
            if self._last_resort is not None:
                self._last_resort.store(items)
            else:
                dropped_posts += sum(isinstance(item, Body) for item in items)
            for item in items:
                if isinstance(item, ShutdownEvent):
                    self._end_without_forwarder(item, dropped_posts)
                    return
            self._ownership.release(lambda: self.inbox.wait(None))
            items = self.inbox.take()

    def _end_without_forwarder(self, event: ShutdownEvent, dropped_posts: int) -> None:
        self.inbox.refuse()
        if self._last_resort is not None:
            self._last_resort.store_at_end(event)
            self._last_resort.log_totals()
        elif dropped_posts:
            self._log.error(f"{dropped_posts} posts of telemetry were dropped after that")
        event.done.set()
