"""A forwarder around the parts of a `spooling.Process`: it sends at SHUTDOWN, and no invocation waits for it."""

import threading
from collections.abc import Callable

from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S
from telemetry_forwarder.export.exporter import Exporters
from telemetry_forwarder.export.flusher import Flusher
from telemetry_forwarder.export.sender_thread import SenderThread
from telemetry_forwarder.flushing.policy import FlushPolicy, FlushSettings, Mode
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.worker.accounting import Accounting
from telemetry_forwarder.worker.forwarder import Forwarder
from telemetry_forwarder.worker.last_resort import LastResort
from tests.support.captured_log import CapturedLog
from tests.support.spooling import Process

_SETTINGS = FlushSettings(mode=Mode.SHUTDOWN, interval_s=5.0, budget_s=0.0, spool_reserve_s=SPOOL_RESERVE_S)


def forwarder_of(
    process: Process,
    inbox: Inbox,
    exporters: Exporters,
    captured: CapturedLog,
    *,
    new_thread: Callable[[str], SenderThread] = SenderThread,
) -> Forwarder:
    clock, ledger, log, unclosed = process.clock, process.ledger, captured.diagnostics(process.clock), threading.Lock()
    return Forwarder(
        inbox,
        process.intake,
        process.store,
        flusher=Flusher(
            inbox,
            process.outbox,
            process.spool,
            exporters=exporters,
            ledger=ledger,
            ownership=process.ownership,
            log=log,
            new_thread=new_thread,
        ),
        policy=FlushPolicy(_SETTINGS, clock, has_runtime_done=False, is_managed=False),
        accounting=Accounting(ledger, clock, log, unclosed),
        last_resort=LastResort(inbox, process.spool, ledger, clock=clock, log=log, unclosed=unclosed),
        ownership=process.ownership,
        clock=clock,
    )
