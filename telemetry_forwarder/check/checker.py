"""Checks the endpoint of each signal: the connection to it, and one real request with one marked item.

The extension's own code reads the settings and sends the requests, so the findings hold for the extension, too.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.check.findings import Finding, Subject, Verdict
from telemetry_forwarder.check.items import ItemMaker
from telemetry_forwarder.check.known_backends import find_backend, warnings
from telemetry_forwarder.check.network import Network, ProblemLog
from telemetry_forwarder.check.responses import Exchange, Other, explain
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import SIGNAL_BY_NAME, Batch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import GRPC, HTTP_PROTOBUF, Endpoint, read_endpoints, variables_of
from telemetry_forwarder.endpoints.masking import SecretMask
from telemetry_forwarder.endpoints.options import read_temporality, unknown_names
from telemetry_forwarder.otlp.aggregator import TEMPORALITIES
from telemetry_forwarder.otlp.resource import describe_function
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from telemetry_forwarder.transport.resolver import Resolver

TIMEOUT_S = 10.0
"""For each signal, unless a user sets another."""
_OTHER_S = 3.0
_UNNAMED = Resource({"service.name": "telemetry-forwarder-check"})
# As the warm-up: what the function and the worker do goes first.
_NICE = 10


class Checker:
    """The settings in *environ*, and what a check finds of their endpoints. For one thread; never prints."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, *, timeout_s: float = TIMEOUT_S) -> None:
        self.settings = Settings(environ)
        problems = list(self.settings.problems)
        self.endpoints = read_endpoints(
            environ, problems, signals=[SIGNAL_BY_NAME[name] for name in self.settings.signals]
        )
        self.temporality = read_temporality(environ, TEMPORALITIES, problems)
        resource = describe_function(environ, {}, problems)
        # Outside Lambda the function's name is not known, and some back ends need one.
        self.resource = resource if "service.name" in resource.attributes else resource.merge(_UNNAMED)
        self.problems = [*problems, *unknown_names(environ)]
        """One sentence for each value that is not used as it is."""
        self.mask = SecretMask(self.endpoints.values())
        self.variables = {signal: variables_of(environ, signal) for signal in self.endpoints}
        self._clock = clock
        self._timeout_s = timeout_s
        resolver = Resolver()
        self._network = Network(resolver, clock)
        self._transport = Transport(ProblemLog(clock), resolver)
        self._items = ItemMaker(self.resource, self.temporality, clock.unix_ns, os.urandom)

    def subject(self, signal: str) -> Subject:
        """Return the endpoint of *signal*."""
        return Subject(self.endpoints[signal], self.variables[signal], self.mask.foreign)

    def findings(self, signal: str) -> Iterator[Finding]:
        """Yield what is found, stage by stage, up to the first that fails. Blocks for the timeout at most."""
        subject = self.subject(signal)
        deadline = Deadline.after(self._timeout_s, self._clock)
        backend = find_backend(subject.host)
        if backend is not None:
            yield from warnings(subject, backend, self.temporality, self.resource.attributes)
        for finding in self._network.findings(subject, deadline):
            yield finding
            if finding.verdict is Verdict.FAILED:
                return
        yield self._request(subject, deadline)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _request(self, subject: Subject, deadline: Deadline) -> Finding:
        batch = self._items.batch(subject.signal)
        # Before the time counts: it may import a client.
        sender = self._transport.sender(subject.endpoint)
        began_s = self._clock.monotonic_s()
        outcome = self._transport.send(sender, batch.body, deadline)
        exchange = Exchange(
            subject,
            batch,
            outcome,
            took_s=self._clock.monotonic_s() - began_s,
            budget_s=self._budget_s(),
            timeout_s=self._timeout_s,
            backend=find_backend(subject.host),
            other=self._find_other(subject, batch, outcome, deadline),
        )
        return explain(exchange)

    def _budget_s(self) -> float:
        # In the other modes no invocation waits.
        return self.settings.flush_budget_ms / 1_000 if self.settings.flush in ("auto", "end") else 0.0

    def _send(self, endpoint: Endpoint, batch: Batch, deadline: Deadline) -> Response | Failure:
        return self._transport.send(self._transport.sender(endpoint), batch.body, deadline)

    def _find_other(
        self, subject: Subject, batch: Batch, outcome: Response | Failure, deadline: Deadline
    ) -> Other | None:
        """Return what the server speaks instead, found by trying it; None if nothing is found."""
        endpoint = subject.endpoint
        is_broken = isinstance(outcome, Failure) and outcome.kind is FailureKind.BROKEN
        if not is_broken and not _is_of_something_else(outcome):
            return None
        if subject.is_grpc:
            other = replace(endpoint, protocol=HTTP_PROTOBUF, url=f"{endpoint.origin}/v1/{endpoint.signal}")
            found = self._send(other, batch, deadline.within(_OTHER_S))
            if isinstance(found, Response) and found.status in (200, 401, 403):
                return Other.HTTP
        elif is_broken:
            other = replace(endpoint, protocol=GRPC, url=f"{endpoint.origin}/")
            found = self._send(other, batch, deadline.within(_OTHER_S))
            if isinstance(found, Response) and not found.is_foreign:
                return Other.GRPC
        if endpoint.is_insecure and self._network.speaks_tls(endpoint, deadline.within(_OTHER_S)):
            return Other.TLS
        return None


def _is_of_something_else(outcome: Response | Failure) -> bool:
    """Return whether *outcome* comes from a server that speaks another protocol than the one that is set."""
    if isinstance(outcome, Failure):
        return False
    return outcome.is_foreign or (outcome.status == 400 and b"https" in outcome.body.lower())


def log_findings(environ: Mapping[str, str], clock: Clock, log: Diagnostics) -> None:
    """Log what is found of each endpoint in *environ*. Blocks for 10 s for each signal at most; never raises."""
    levels = {Verdict.OK: log.info, Verdict.WARNING: log.warn, Verdict.FAILED: log.error}
    try:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        checker = Checker(environ, clock)
        for signal in checker.endpoints:
            for finding in checker.findings(signal):
                advice = f" {finding.advice}" if finding.advice else ""
                levels[finding.verdict](f"check of {signal}: {finding.stage}: {finding.text}.{advice}")
        checker.close()
    except Exception as exc:  # noqa: BLE001  # forwarding must not depend on it
        log.error(f"the check has failed: {type(exc).__name__}: {exc}")
