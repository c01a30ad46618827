"""Builds the forwarder and all its parts from the settings."""

import logging
import os
import threading
from collections.abc import Mapping

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool_settings import new_spool
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S, Store
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import SIGNAL_BY_NAME
from telemetry_forwarder.core.jitter import random_fraction
from telemetry_forwarder.core.ownership import Ownership
from telemetry_forwarder.core.version import VERSION
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import read_endpoints
from telemetry_forwarder.endpoints.options import read_temporality, unknown_names
from telemetry_forwarder.export.exporter import Exporters
from telemetry_forwarder.export.flusher import Flusher
from telemetry_forwarder.flushing.policy import FlushPolicy, FlushSettings, Mode
from telemetry_forwarder.lambda_api import is_managed_instance
from telemetry_forwarder.otlp.aggregator import TEMPORALITIES
from telemetry_forwarder.otlp.resource import describe_function
from telemetry_forwarder.receiver.connections import MAX_POST_BYTES
from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.json_values import read_json
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.worker.accounting import Accounting
from telemetry_forwarder.worker.availability_zone import AvailabilityZone
from telemetry_forwarder.worker.forwarder import Forwarder
from telemetry_forwarder.worker.intake import Intake
from telemetry_forwarder.worker.last_resort import LastResort
from telemetry_forwarder.worker.shared_converter import SharedConverter

# How long telemetry is held at most while an invocation runs, unless the setting says otherwise.
_INTERVAL_S = 5.0


def build_forwarder(
    settings: Settings,
    environ: Mapping[str, str],
    registration: bytes,
    *,
    inbox: Inbox,
    ownership: Ownership,
    clock: Clock,
    log: Diagnostics,
) -> Forwarder:
    """Build the forwarder and log what is wrong with the settings. Does not use the network."""
    # Without our prefix, the lines of libraries would be forwarded as telemetry of an extension.
    logging.lastResort = _LibraryLogHandler(log)
    ledger, unclosed = Ledger(), threading.Lock()
    exporters = _exporters(settings, environ, clock=clock, log=log)
    outbox = _outbox(settings, ledger)
    spool = new_spool(settings, environ, largest_post_bytes=MAX_POST_BYTES, ledger=ledger, clock=clock, log=log)
    store = Store(outbox, spool, ledger, clock)
    intake = Intake(
        _conversion(settings, environ, registration, ownership=ownership, ledger=ledger, clock=clock, log=log),
        store,
        spool,
        duplicates=DuplicatePosts() if settings.listener == "http" else None,
        ledger=ledger,
        clock=clock,
        log=log,
        cpu_share=settings.cpu_share,
        zone=AvailabilityZone(environ, clock, log),
    )
    return Forwarder(
        inbox,
        intake,
        store,
        flusher=Flusher(inbox, outbox, spool, exporters=exporters, ledger=ledger, ownership=ownership, log=log),
        policy=_policy(settings, clock, is_managed=is_managed_instance(environ)),
        accounting=Accounting(ledger, clock, log, unclosed),
        last_resort=LastResort(inbox, spool, ledger, clock=clock, log=log, unclosed=unclosed),
        ownership=ownership,
        clock=clock,
    )


def _outbox(settings: Settings, ledger: Ledger) -> Outbox:
    return Outbox(
        ledger,
        limit_bytes=settings.outbox_bytes,
        request_bytes=settings.batch_bytes,
        request_items=settings.batch_items,
    )


def _exporters(settings: Settings, environ: Mapping[str, str], *, clock: Clock, log: Diagnostics) -> Exporters:
    problems: list[str] = []
    signals = [SIGNAL_BY_NAME[name] for name in settings.signals]
    endpoints = read_endpoints(environ, problems, signals=signals)
    for problem in [*problems, *unknown_names(environ)]:
        log.warn(problem)
    return Exporters(endpoints, Transport(log), clock=clock, log=log)


def _conversion(
    settings: Settings,
    environ: Mapping[str, str],
    registration: bytes,
    *,
    ownership: Ownership,
    ledger: Ledger,
    clock: Clock,
    log: Diagnostics,
) -> SharedConverter:
    registered, problems = read_json(registration), list[str]()
    resource = describe_function(environ, registered if isinstance(registered, dict) else {}, problems)
    temporality = read_temporality(environ, TEMPORALITIES, problems)
    for problem in problems:
        log.warn(problem)
    converter = Converter(
        settings,
        resource,
        (counts := Ledger()),
        version=VERSION,
        temporality=temporality,
        is_managed=is_managed_instance(environ),
        # Not `random`: every environment restored from one snapshot would have the same state.
        new_id=lambda size_bytes: os.urandom(size_bytes).hex(),
        unix_ns=clock.unix_ns,
    )
    return SharedConverter(converter, ownership, counts=counts, ledger=ledger)


def _policy(settings: Settings, clock: Clock, *, is_managed: bool) -> FlushPolicy:
    flush_settings = FlushSettings(
        mode=Mode(settings.flush),
        interval_s=settings.flush_every_s or _INTERVAL_S,
        budget_s=settings.flush_budget_ms / 1_000,
        spool_reserve_s=SPOOL_RESERVE_S,
    )
    return FlushPolicy(
        flush_settings,
        clock,
        has_runtime_done="platform" in settings.types,
        is_managed=is_managed,
        random=random_fraction,
    )


class _LibraryLogHandler(logging.Handler):
    """Logs what libraries log, with our prefix."""

    def __init__(self, log: Diagnostics) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = f"{record.name}: {record.getMessage()}"
        except Exception:  # noqa: BLE001  # a library's format string must not fail in our code
            message = f"{record.name}: {record.msg}"
        if record.exc_info and (exc := record.exc_info[1]):
            message += f": {type(exc).__name__}: {exc}"
        self._log.warn(message, once_a_minute=message)
