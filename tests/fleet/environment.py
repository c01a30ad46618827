"""One simulated environment: invocations, freezes, and the product's own flushing and export."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from random import Random
from typing import SupportsIndex

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.export.exporter import Exporters
from telemetry_forwarder.export.flusher import Flusher
from telemetry_forwarder.export.retry import RetryPolicy
from telemetry_forwarder.export.sender_thread import SenderThread
from telemetry_forwarder.flushing.policy import FlushPolicy, FlushSettings, Mode
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import SendFinished, ShutdownEvent, WorkerEvent
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.client import Sender, Transport
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from tests.fleet.collector import ITEM_BYTES, Collector
from tests.fleet.simulation import START_UNIX_NS, Simulation

_ENDPOINTS = {signal: Endpoint(signal, f"http://collector:4318/v1/{signal}") for signal in SIGNALS}
_ITEMS = {LOGS: 8, SPANS: 1, METRICS: 12}
_TIMEOUT_S = 3.0
# One for all, because each has a descriptor: all environments are in one thread.
_OWNERSHIP = Ownership()
_SHUTDOWN_S = 2.0


@dataclass(frozen=True)
class Load:
    """What one environment does."""

    gap_s: Callable[[], float]
    """Returns the time from the end of an invocation to the next one."""
    duration_s: float = 0.2
    mode: Mode = Mode.AUTO
    interval_s: float = 5.0
    outbox_bytes: int = 4 * 1024 * 1024
    spool_bytes: int = 64 * 1024 * 1024
    is_managed: bool = False
    """Whether the environment is never frozen."""


class Environment:
    """Lambda's side, and the loop of `Forwarder`. The process inside may be replaced."""

    def __init__(
        self, simulation: Simulation, collector: Collector, load: Load, *, folder: str, random: Random
    ) -> None:
        self.simulation = simulation
        self.collector = collector
        self.ledgers: list[Ledger] = []
        """Of each process, the latest last."""
        self._load = load
        self._folder = folder
        self._random = random
        self._is_frozen = False
        self._frozen_events: list[Callable[[], object]] = []
        self._is_busy = False
        self._is_removed = False
        self._invocations = 0
        self._shutdown: ShutdownEvent | None = None
        self._start_process()
        simulation.at(simulation.now_s + load.gap_s(), self._invoke)

    def resume(self, event: Callable[[], object]) -> None:
        """Run *event* now, or after the next thaw."""
        if self._is_frozen:
            self._frozen_events.append(event)
        else:
            event()

    def shut_down(self, reason: str) -> None:
        """End the process. Another one is started, unless *reason* is spindown: that removes the environment."""
        self._thaw()
        shutdown = self._shutdown = ShutdownEvent(reason, Deadline.after(_SHUTDOWN_S, self._clock))
        self._transport.limit_time(shutdown.deadline.less(SPOOL_RESERVE_S))
        self._policy.shutting_down(shutdown.deadline)
        self._step()

    @property
    def backlog(self) -> int:
        """The number of items that are held or spooled."""
        return sum(tally.held + tally.spooled for tally in self.ledgers[-1].snapshot().tallies)

    def _start_process(self) -> None:
        load, clock = self._load, _EnvironmentClock(self)
        log = Diagnostics("none", clock)
        self._clock = clock
        self._process = object()
        self._shutdown = None
        self._is_withheld = False
        self._wake_at_s = inf
        self.ledgers.append(ledger := Ledger())
        outbox = Outbox(ledger, limit_bytes=load.outbox_bytes, request_bytes=4 * 1024 * 1024, request_items=10_000)
        form = SpoolFormat(function="f", version="1", process=self._random.randbytes(4))
        spool = Spool(self._folder, form, ledger=ledger, clock=clock, log=log, limit_bytes=load.spool_bytes)
        self._store = Store(outbox, spool, ledger, clock)
        self._transport = _Transport(self, log)
        retry = RetryPolicy(random=self._random.random)
        self._exporters = Exporters(_ENDPOINTS, self._transport, clock=clock, log=log, retry=retry)
        self._flusher = Flusher(
            _Inbox(self, self._process),
            outbox,
            spool,
            exporters=self._exporters,
            ledger=ledger,
            ownership=_OWNERSHIP,
            log=log,
            new_thread=lambda _: _Sender(self.simulation),
        )
        settings = FlushSettings(
            mode=load.mode, interval_s=load.interval_s, budget_s=0.5, spool_reserve_s=SPOOL_RESERVE_S
        )
        self._policy = FlushPolicy(settings, clock, has_runtime_done=True, is_managed=load.is_managed)
        spool.restore()

    def _invoke(self) -> None:
        if self._is_removed:
            return
        if self._is_busy or self._is_withheld or self._shutdown:
            # Lambda would use another environment.
            self.simulation.at(self.simulation.now_s + 0.1, self._invoke)
            return
        self._thaw()
        self._is_busy = True
        self._is_withheld = not self._load.is_managed
        self._invocations += 1
        request_id, process = str(self._invocations), self._process
        self._policy.invoked(request_id, Deadline.after(_TIMEOUT_S, self._clock))
        self.simulation.at(self.simulation.now_s + self._load.duration_s, lambda: self._end(request_id, process))
        self._step()

    def _end(self, request_id: str, process: object) -> None:
        self._is_busy = False
        self.simulation.at(self.simulation.now_s + self._load.gap_s(), self._invoke)
        if process is self._process and not self._is_removed:
            self._store.put([Batch(signal, bytes(ITEM_BYTES * items), items) for signal, items in _ITEMS.items()])
            self._policy.runtime_done(request_id, self._clock.unix_ns())
            self._policy.reported(request_id)
            self._step()

    def sent(self, signal: str, process: object) -> None:
        """Receive the `SendFinished` of *signal* in *process*."""
        if process is self._process and not self._is_removed:
            self._flusher.sent(signal)
            self._check_flush()
            self._step()

    def _check_flush(self) -> None:
        if self._flusher.is_over:
            self._policy.flushed(was_delivered=self._flusher.was_delivered)

    def _step(self) -> None:
        """Take steps as `Forwarder` does, until it would wait."""
        while True:
            step = self._policy.step(
                has_unsent=self._store.has_batches,
                is_nearly_full=self._store.is_nearly_full,
                is_circuit_open=self._exporters.are_all_failing,
            )
            if step.may_call_next:
                self._is_withheld = False
            if step.should_spool:
                self._store.spool_all(self._store.write_deadline())
            if step.flush is None:
                break
            is_last_chance = self._shutdown is not None and self._shutdown.ends_environment
            self._flusher.begin(step.flush, is_last=self._shutdown is not None, is_last_chance=is_last_chance)
            self._check_flush()
        if self._shutdown and step.is_over:
            self._close(self._shutdown)
        self._is_frozen = not (self._is_busy or self._is_withheld or self._shutdown or self._load.is_managed)
        if step.wake_in_s is not None:
            self._wake_at_s = self.simulation.now_s + step.wake_in_s
            self.simulation.at(self._wake_at_s, self._wake)

    def _wake(self) -> None:
        if self.simulation.now_s >= self._wake_at_s and not (self._is_frozen or self._is_removed):
            self._wake_at_s = inf
            self._step()

    def _close(self, shutdown: ShutdownEvent) -> None:
        deadline = Deadline.after(SPOOL_RESERVE_S, self._clock)
        self._store.put_back(self._flusher.abandon(), deadline)
        self._store.spool_all(deadline)
        self._store.drop_all()
        if shutdown.ends_environment:
            self._is_removed = True
        else:
            self._start_process()

    def _thaw(self) -> None:
        self._is_frozen = False
        events, self._frozen_events = self._frozen_events, []
        for event in events:
            event()


class _EnvironmentClock(Clock):
    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def monotonic_s(self) -> float:
        return self._environment.simulation.now_s

    def unix_ns(self) -> int:
        return START_UNIX_NS + round(self._environment.simulation.now_s * 1e9)

    def sleep(self, seconds: float | SupportsIndex, /) -> None:
        """Block the current task."""
        simulation = self._environment.simulation
        simulation.block(simulation.now_s + float(seconds), self._environment.resume)


class _Inbox(Inbox):
    """Passes events on instead of queueing them."""

    def __init__(self, environment: Environment, process: object) -> None:
        # Nothing of the original: each one has descriptors.
        self._environment = environment
        self._process = process

    def put_event(self, event: WorkerEvent) -> None:
        assert isinstance(event, SendFinished)
        environment = self._environment
        environment.simulation.at(
            environment.simulation.now_s,
            lambda: environment.resume(lambda: environment.sent(event.signal, self._process)),
        )


class _Sender(SenderThread):
    """Runs each task in simulated time."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def add(self, task: Callable[[], object]) -> None:
        self._simulation.start(task)


class _Transport(Transport):
    """Sends to the simulated collector."""

    def __init__(self, environment: Environment, log: Diagnostics) -> None:
        super().__init__(log)
        self._environment = environment

    def sender(self, _: Endpoint) -> Sender:
        return _no_network

    def send(self, sender: Sender, body: bytes, deadline: Deadline) -> Response | Failure:
        environment = self._environment
        now_s = environment.simulation.now_s
        taken_s, outcome = environment.collector.answer(len(body))
        if taken_s > (left_s := self.left_s(deadline)):
            taken_s, outcome = left_s, Failure(FailureKind.TIMED_OUT, "no response in time")
        # In a freeze, the response is read after it.
        environment.simulation.block(now_s + taken_s, environment.resume)
        return outcome


def _no_network(_: bytes, __: Attempt) -> Response:
    raise AssertionError
