"""The worker's thread: waits for the imports of the warm-up and runs the forwarder.

No exception leaves it, and whatever happens, the main thread is never left waiting. If the worker does not answer at
SHUTDOWN, the main thread stores what is held.
"""

import threading

from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent
from telemetry_forwarder.receiver.next_timer import NextTimer
from telemetry_forwarder.startup.threads import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_forwarder.clock import Clock, Deadline
    from telemetry_forwarder.diagnostics import Diagnostics
    from telemetry_forwarder.settings import Settings
    from telemetry_forwarder.startup.warm_up import WarmUp
    from telemetry_forwarder.worker.forwarder import Forwarder

# Before the deadline of SHUTDOWN. A forwarder that is built later could not convert any more, only store. One that runs
# begins to store what is left 0.3 s before the deadline.
_LEAST_TO_BEGIN_S = 0.7
_LEAST_TO_CLOSE_S = 0.2
# Before the deadline, or half of the time if that is less: posts are refused, so that storing what is held can end.
_REFUSAL_S = 0.5
# For Lambda to see our exit.
_MARGIN_S = 0.05
# Storing is tried even if the deadline is nearer: to exit earlier would only lose what is held.
_LEAST_WAIT_S = 0.25
# At least, for the worker to finish its step.
_STEP_S = 0.03


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
        self._forwarder: Forwarder | None = None
        self._last_event: InvokeEvent | ShutdownEvent | None = None
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Start the thread, if it has not started yet. Raises `ThreadStartError`."""
        start_thread(self._thread)

    def shut_down(self, event: ShutdownEvent) -> None:
        """Pass *event* on and block until the forwarder has finished. If it does not answer, store what is held.

        Returns shortly before the deadline of *event*, or half a second from now if that is later.
        """
        self.put_event(event)
        refuse_at = event.deadline.less(min(_REFUSAL_S, event.deadline.left_s() / 2))
        if self._has_finished(event, _LEAST_TO_BEGIN_S):
            return
        if self._forwarder is not None:
            event.done.wait(refuse_at.left_s())
            self.inbox.refuse()
            if self._has_finished(event, _LEAST_TO_CLOSE_S):
                return
        if event.claim():
            self._store_without_worker(event.deadline.less(_MARGIN_S).not_before(_LEAST_WAIT_S))
        elif not self._has_finished(event, _MARGIN_S) and (forwarder := self._forwarder) is not None:
            # Not even storing has ended.
            forwarder.accounting.close(self.inbox)

    def _has_finished(self, event: ShutdownEvent, reserve_s: float) -> bool:
        """Wait until *reserve_s* before the deadline, unless there is no thread to wait for."""
        left_s = event.deadline.less(reserve_s).not_before(_LEAST_WAIT_S).left_s()
        return event.done.wait(left_s if self._thread.ident is not None else 0.0)

    def _store_without_worker(self, deadline: "Deadline") -> None:
        """Store what is held and log the totals.

        A worker that is in the middle of a step and finishes it later may hold a post that is in no total.
        """
        self.inbox.refuse()
        forwarder = self._forwarder
        if forwarder is None:
            self._log.warn("the end came before forwarding was ready; posts are stored as received")
            from telemetry_forwarder.buffer.ledger import Ledger
            from telemetry_forwarder.worker.last_resort import new_spool, spool_posts

            ledger = Ledger()
            spool = new_spool(self._settings, self._environ, ledger=ledger, clock=self._clock, log=self._log)
            spool_posts(self.inbox, spool, ledger, deadline=deadline, log=self._log)
        else:
            self._log.warn("forwarding does not respond; what is held is stored")
            forwarder.is_stopped = True
            # A worker that is only slow finishes its step; with little CPU, the kernel pauses the process meanwhile.
            self.has_returned.wait(max(_STEP_S, deadline.left_s() / 2))
            forwarder.spool_everything(deadline)
            # It may be writing a post, which would be incomplete on disk.
            self.has_returned.wait(deadline.left_s())

    def put_event(self, event: InvokeEvent | ShutdownEvent) -> None:
        """Pass on Lambda's event. SHUTDOWN also limits the time of running requests."""
        self._last_event = event
        self._limit_work_to_shutdown()
        self.inbox.put_event(event)

    def _limit_work_to_shutdown(self) -> None:
        # Called by both threads: SHUTDOWN may arrive before or after the forwarder is built.
        forwarder, event = self._forwarder, self._last_event
        if forwarder is not None and isinstance(event, ShutdownEvent):
            forwarder.limit_work_to_shutdown(event)

    def _run(self) -> None:
        try:
            self._warm_up.wait()
            from telemetry_forwarder.worker.wiring import build_forwarder

            self._forwarder = forwarder = build_forwarder(
                self._settings, self._environ, self._registration, inbox=self.inbox, clock=self._clock, log=self._log
            )
            self._limit_work_to_shutdown()
            event = self._last_event
            # The main thread claims it first and looks for a forwarder then, so one of both finds the other.
            if not (isinstance(event, ShutdownEvent) and event.is_claimed):
                forwarder.run(on_warm=self.is_warm.set)
        except BaseException as exc:  # noqa: BLE001  # the function must not wait for a thread that has ended
            self._log.error(f"forwarding stopped: {type(exc).__name__}: {exc}; invocations continue without it")
            self.is_warm.set()
            self._forwarder = None
            self._release_events()
        self.has_returned.set()
        self.inbox.close()

    def _release_events(self) -> None:
        """Release every event, and count the posts that are dropped, until SHUTDOWN."""
        # The forwarder may have taken the last event out of the inbox before it failed.
        items = [*self.inbox.take(0.0), self._last_event]
        dropped_posts = 0
        while True:
            dropped_posts += sum(isinstance(item, Body) for item in items)
            for item in items:
                if isinstance(item, InvokeEvent):
                    item.release(self._clock.monotonic_s())
                elif isinstance(item, ShutdownEvent):
                    if dropped_posts:
                        self._log.error(f"{dropped_posts} posts of telemetry were dropped after that")
                    item.done.set()
                    return
            items = [*self.inbox.take(None)]
