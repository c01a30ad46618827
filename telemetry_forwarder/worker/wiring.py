"""Puts the worker's parts together, ready to send: settings in, a `Forwarder` out."""

import logging
import os
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.outbox import Outbox
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import SpoolFormat
from telemetry_forwarder.buffer.store import SPOOL_RESERVE_S
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import SIGNALS
from telemetry_forwarder.core.version import VERSION
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints import options
from telemetry_forwarder.endpoints.endpoint import read_endpoints
from telemetry_forwarder.export.exporter import Exporters
from telemetry_forwarder.flushing.decisions import FlushSettings, Mode
from telemetry_forwarder.flushing.policy import FlushPolicy
from telemetry_forwarder.otlp.common import resource
from telemetry_forwarder.otlp.metrics import TEMPORALITIES
from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.settings import names as settings_names
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.grpc_client import has_grpc
from telemetry_forwarder.worker.forwarder import Forwarder

_OWN_NAME = "telemetry-forwarder"
_TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
# Unless the setting says otherwise: what is held while an invocation runs waits at most this long.
_EVERY_S = 5.0
# For a flush, whether or not somebody waits for it: `hurry` ends it when SHUTDOWN comes.
_LONGEST_S = 10.0
_SIGNALS = dict(zip(("logs", "spans", "metrics"), SIGNALS, strict=True))


def assemble(
    settings: Settings,
    environ: Mapping[str, str],
    registration: bytes,
    inbox: Inbox,
    clock: Clock,
    log: Diagnostics,
) -> Forwarder:
    """Put all the parts together. Takes most of the start's CPU; touches no network."""
    # What our libraries say would be telemetry of an extension otherwise, for it lacks our mark.
    logging.lastResort = _OfLibraries(log)
    problems: list[str] = []
    signals = [_SIGNALS[name] for name in settings.signals]
    targets = read_endpoints(environ, problems, signals=signals, has_grpc=has_grpc())
    problems += _unknown(environ, settings_names() | options.names())
    ledger = Ledger()
    conversion = _conversion(settings, environ, registration, ledger, problems)
    for problem in problems:
        log.warn(problem)
    outbox = Outbox(
        ledger,
        limit_bytes=settings.outbox_bytes,
        request_bytes=settings.batch_bytes,
        request_items=settings.batch_items,
    )
    transport = Transport(log)
    transport.warm(targets.values())
    return Forwarder(
        inbox,
        conversion,
        outbox,
        _spool(settings, environ, ledger, clock, log),
        Exporters(targets, transport, clock, log),
        _policy(settings, environ, clock),
        ledger,
        clock,
        log,
        signals=signals,
        repeats=DuplicatePosts() if settings.listener == "http" else None,
        cpu_share=settings.cpu_share,
    )


class _OfLibraries(logging.Handler):
    def __init__(self, log: Diagnostics) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = f"{record.name}: {record.getMessage()}"
        except Exception:
            # The library's fault, which must not become a fault of ours.
            message = f"{record.name}: {record.msg}"
        if record.exc_info and (exc := record.exc_info[1]):
            message += f": {type(exc).__name__}: {exc}"
        self._log.warn(message, once_a_minute=message)


def _conversion(
    settings: Settings,
    environ: Mapping[str, str],
    registration: bytes,
    ledger: Ledger,
    problems: list[str],
) -> Converter:
    return Converter(
        settings,
        resource(environ, _registered(registration)),
        ledger,
        version=VERSION,
        temporality=_temporality(environ, problems),
        is_managed=_is_managed(environ),
        new_id=_random_id,
    )


def _spool(
    settings: Settings, environ: Mapping[str, str], ledger: Ledger, clock: Clock, log: Diagnostics
) -> Spool:
    file_format = SpoolFormat(
        function=environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        version=environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        process=os.urandom(4),
    )
    return Spool(
        _own_folder(settings.spool_dir),
        file_format,
        ledger=ledger,
        clock=clock,
        diagnostics=log,
        limit_bytes=settings.spool_bytes,
    )


def _own_folder(path: str) -> str:
    """A folder that holds nothing but ours: what else is found there is set aside and removed."""
    return path if os.path.basename(os.path.normpath(path)) == _OWN_NAME else os.path.join(path, _OWN_NAME)


def _policy(settings: Settings, environ: Mapping[str, str], clock: Clock) -> FlushPolicy:
    terms = FlushSettings(
        mode=Mode(settings.flush),
        interval_s=settings.flush_every_s or _EVERY_S,
        budget_s=settings.flush_budget_ms / 1_000,
        flush_limit_s=_LONGEST_S,
        spool_reserve_s=SPOOL_RESERVE_S,
    )
    return FlushPolicy(
        terms, clock, has_runtime_done="platform" in settings.types, is_managed=_is_managed(environ)
    )


def _is_managed(environ: Mapping[str, str]) -> bool:
    return environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "lambda-managed-instances"


def _unknown(environ: Mapping[str, str], known: Collection[str]) -> list[str]:
    """A setting that does not exist is most often one that is misspelt."""
    return [
        f"{name}: there is no such setting"
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known
    ]


def _temporality(environ: Mapping[str, str], problems: list[str]) -> str:
    """Delta unless asked otherwise: environments come and go, and a sum over each one's lifetime says little."""
    wanted = environ.get(_TEMPORALITY, "").strip().lower()
    if wanted in TEMPORALITIES:
        return wanted
    if wanted:
        problems.append(
            f"{_TEMPORALITY}: {wanted[:60]!r} is none of {', '.join(TEMPORALITIES)}; using delta instead"
        )
    return "delta"


def _registered(registration: bytes) -> Mapping[str, Any]:
    try:
        said = orjson.loads(registration)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _random_id(size_bytes: int) -> str:
    # Not `random`: its state would be the same in every environment restored from one snapshot.
    return os.urandom(size_bytes).hex()
