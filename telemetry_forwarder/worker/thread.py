"""The worker's thread: the heavy half of the program is imported in it, and its failures end in it.

Whatever happens to the forwarder, the main thread is never left waiting, and never sees an exception of ours.
"""

import threading

from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_forwarder.clock import Clock
    from telemetry_forwarder.diagnostics import Diagnostics
    from telemetry_forwarder.receiver.messages import Item
    from telemetry_forwarder.settings import Settings
    from telemetry_forwarder.startup.warm_up import WarmUp
    from telemetry_forwarder.worker.forwarder import Forwarder


class Worker:
    """Runs the forwarder from `start` to SHUTDOWN, or lets everybody go without it."""

    def __init__(
        self,
        settings: "Settings",
        environ: "Mapping[str, str]",
        registration: bytes,
        clock: "Clock",
        log: "Diagnostics",
        warm_up: "WarmUp",
    ) -> None:
        self.inbox = Inbox(settings.inbox_bytes)
        self.is_warm = Latch()
        """Set when everything is imported and built, or when that has failed."""
        self._settings = settings
        self._environ = environ
        self._registration = registration
        self._clock = clock
        self._log = log
        self._warm_up = warm_up
        self._forwarder: Forwarder | None = None
        self._told: InvokeEvent | ShutdownEvent | None = None
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell(self, event: InvokeEvent | ShutdownEvent) -> None:
        """Pass on Lambda's event. On SHUTDOWN, what is being sent is told to hurry: its time was another."""
        self._told = event
        self._hurry()
        self.inbox.put_event(event)

    def _hurry(self) -> None:
        # Whichever comes first, SHUTDOWN or the forwarder: the thread of the other one gets here.
        if (forwarder := self._forwarder) is not None and isinstance(told := self._told, ShutdownEvent):
            forwarder.hurry(told.deadline)

    def _run(self) -> None:
        try:
            self._warm_up.wait()
            if self._warm_up.problem:
                self._log.warn(f"the warm-up bundle cannot be used: {self._warm_up.problem}")
            from telemetry_forwarder.worker.wiring import assemble

            self._forwarder = assemble(
                self._settings, self._environ, self._registration, self.inbox, self._clock, self._log
            )
            self._hurry()
            self.is_warm.set()
            self._forwarder.run()
        except BaseException as exc:
            self._log.error(f"forwarding stopped: {type(exc).__name__}: {exc}; invocations go on without it")
            self.is_warm.set()
            self._forwarder = None
            self._let_everybody_go()
        self.inbox.close()

    def _let_everybody_go(self) -> None:
        # The forwarder may have taken this one out of the inbox before it failed.
        items: list[Item] = [] if self._told is None else [self._told]
        items += self.inbox.take(0.0)
        lost_bodies = 0
        while True:
            lost_bodies += sum(isinstance(item, Body) for item in items)
            is_over = any(isinstance(item, ShutdownEvent) for item in items)
            if is_over and lost_bodies:
                self._log.error(f"{lost_bodies} posts of telemetry were dropped after that")
            for item in items:
                _let_go(item)
            if is_over:
                return
            items = self.inbox.take(None)


def _let_go(item: "Item") -> None:
    match item:
        case InvokeEvent():
            item.released.set()
        case ShutdownEvent():
            item.done.set()
        case _:
            pass  # Nobody waits for these.
