"""Exports batches to the endpoint of their signal, with retries and splitting, and never past a deadline."""

import sys
from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.masking import SecretMask
from telemetry_forwarder.export.answers import NotOtlp, PartialSuccess, read_success
from telemetry_forwarder.export.circuit_breaker import CircuitBreaker
from telemetry_forwarder.export.responses import Mask, describe, retry_after_s
from telemetry_forwarder.export.retry import RetryPolicy, is_final
from telemetry_forwarder.export.splitting import halves, joined
from telemetry_forwarder.transport.attempt import SLICE_S
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response

NO_ENDPOINT = "no endpoint"
TOO_LARGE = "too large"
_NONE: Mapping[str, int] = MappingProxyType({})
_CONTENT_TOO_LARGE = 413
# A smaller limit is not remembered: one odd response would have all later batches cut into single items.
_MIN_LIMIT_BYTES = 65_536
_MAX_TOO_LARGE = 16


class ExportResult(NamedTuple):
    """The result for each item of a batch: items = delivered + rejected + all dropped + items of *held*."""

    batch: Batch
    """As it was passed to `send`."""
    delivered: int = 0
    rejected: int = 0
    """By the endpoint, which accepted the others: not to be sent again."""
    dropped: Mapping[str, int] = _NONE
    """Items by reason."""
    held: Batch | None = None
    """The items that are still to be sent; the batch itself if that is all of them."""


class _Refused(NamedTuple):
    reason: str


class _NotAccepted(Enum):
    TOO_LARGE = auto()
    UNAVAILABLE = auto()


class Exporters:
    """The exporter of each signal. `send` is for one thread at a time per signal, all else for any thread.

    If all attempts of a request have failed, the endpoint gets no request for 1 s at first, up to 60 s: its batches are
    held. After that time one request of each signal probes it.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        transport: Transport,
        *,
        clock: Clock,
        log: Diagnostics,
        retry: RetryPolicy | None = None,
    ) -> None:
        retry = retry or RetryPolicy()
        mask = SecretMask(endpoints.values())
        log.mask = mask.own
        servers: dict[str, CircuitBreaker] = {}
        self._transport = transport
        self._exporters: dict[str, Exporter] = {}
        for signal, endpoint in endpoints.items():
            new = CircuitBreaker(endpoint.origin, clock=clock, log=log, random=retry.random)
            server = servers.setdefault(endpoint.origin, new)
            self._exporters[signal] = Exporter(
                endpoint, transport, server, retry=retry, clock=clock, log=log, mask=mask.foreign
            )

    def is_failing(self, signal: str) -> bool:
        """Return whether the endpoint of *signal* has failed and not accepted anything since."""
        return self._exporters[signal].is_failing

    @property
    def are_all_failing(self) -> bool:
        """Whether no endpoint works, as far as is known."""
        return all(map(self.is_failing, self._exporters))

    def send(self, batch: Batch, deadline: Deadline, *, is_last_chance: bool = False) -> ExportResult:
        """Send *batch* and return its result. Blocks until *deadline* at most.

        With *is_last_chance* a request is sent even if a circuit breaker is open.
        """
        if batch.signal not in self._exporters:
            return ExportResult(batch, dropped={NO_ENDPOINT: batch.items})
        return self._exporters[batch.signal].send(batch, deadline, is_last_chance=is_last_chance)

    def limit_time(self, deadline: Deadline) -> None:
        """End everything by *deadline* from now on, running requests included. For any thread."""
        self._transport.limit_time(deadline)

    def close(self) -> None:
        """Close the idle connections. No request may be running."""
        self._transport.close()


class Exporter:
    """Sends the batches of one signal.

    The circuit breaker *server* is shared with the other signals that are sent to the same server, and opens if it
    cannot be reached. The signal's own opens if the server responds but does not accept this signal.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        server: CircuitBreaker,
        *,
        retry: RetryPolicy,
        clock: Clock,
        log: Diagnostics,
        mask: Mask,
    ) -> None:
        self._endpoint = endpoint
        self._mask = mask
        self._transport = transport
        self._sender = transport.sender(endpoint)
        self._retry = retry
        self._clock = clock
        self._log = log
        self._name = f"{endpoint.origin} ({endpoint.signal})"
        self._too_large_bytes = sys.maxsize
        """The size of the smallest body that was too large: others of that size are split without a request."""
        # Few after a failure, and one more with each success: an overloaded server can bear repetitions least.
        self._attempts = retry.max_attempts
        self._server = server
        self._signal = CircuitBreaker(self._name, clock=clock, log=log, random=retry.random)

    @property
    def is_failing(self) -> bool:
        return self._server.is_open or self._signal.is_open

    def send(self, batch: Batch, deadline: Deadline, *, is_last_chance: bool) -> ExportResult:
        """As `Exporters.send`."""
        attempts = self._retry.max_attempts if is_last_chance else self._attempts
        if self.is_failing and not is_last_chance:
            if self._server.open_for_s() or self._signal.open_for_s():
                return ExportResult(batch, held=batch)
            attempts = 1
        return self._send_parts(batch, deadline.within(self._endpoint.timeout_s), attempts)

    def _send_parts(self, batch: Batch, deadline: Deadline, attempts: int) -> ExportResult:
        delivered = rejected = 0
        dropped: dict[str, int] = {}
        waiting, held = [batch], None
        while waiting and held is None:
            part = waiting.pop()
            match self._send_request(part, deadline, attempts):
                case PartialSuccess(count):
                    delivered += part.items - count
                    rejected += count
                case _Refused(reason):
                    dropped[reason] = dropped.get(reason, 0) + part.items
                case _NotAccepted.TOO_LARGE:
                    # An endpoint that accepts not even single items will accept none of a thousand either.
                    is_hopeless = dropped.get(TOO_LARGE, 0) >= _MAX_TOO_LARGE and not delivered
                    if parts := None if is_hopeless else halves(part):
                        waiting += reversed(parts)
                    else:
                        dropped[TOO_LARGE] = dropped.get(TOO_LARGE, 0) + part.items
                case _:
                    held = joined([part, *reversed(waiting)])
        return ExportResult(batch, delivered, rejected, dropped, held)

    def _send_request(
        self, batch: Batch, deadline: Deadline, max_attempts: int
    ) -> PartialSuccess | _Refused | _NotAccepted:
        """Send one request, repeated while that may help and time is left."""
        if len(batch.body) >= self._too_large_bytes and batch.items > 1:
            return _NotAccepted.TOO_LARGE
        if self._transport.left_s(deadline) == 0.0:
            return _NotAccepted.UNAVAILABLE
        attempts = 0
        while True:
            attempts += 1
            outcome = self._transport.send(self._sender, batch.body, deadline)
            if is_final(outcome):
                self._attempts = min(self._attempts + 1, self._retry.max_attempts)
                return self._judge(batch, outcome)
            pause_s = self._retry.pause_s(outcome, attempts, self._clock)
            if attempts == max_attempts or pause_s >= self._transport.left_s(deadline):
                self._note_failure(outcome)
                return _NotAccepted.UNAVAILABLE
            self._pause(pause_s, deadline)

    def _note_failure(self, outcome: Response | Failure) -> None:
        self._attempts, breaker, requested_s = 1, self._signal, None
        if isinstance(outcome, Response):
            self._server.succeeded()
            requested_s = retry_after_s(outcome, self._clock.unix_ns())
        elif outcome.kind in (FailureKind.UNREACHABLE, FailureKind.UNTRUSTED):
            breaker = self._server
        breaker.failed(describe(outcome, self._mask), requested_s or 0.0)

    def _pause(self, seconds: float, deadline: Deadline) -> None:
        end = Deadline.after(seconds, self._clock)
        # In slices: `limit_time` may shorten the time from another thread.
        while left_s := min(end.left_s(), self._transport.left_s(deadline)):
            self._clock.sleep(min(left_s, SLICE_S))

    def _judge(self, batch: Batch, response: Response) -> PartialSuccess | _Refused | _NotAccepted:
        self._server.succeeded()
        if 200 <= response.status < 300:
            return self._judge_success(batch, response)
        self._signal.succeeded()
        is_too_large = response.status == _CONTENT_TOO_LARGE
        if is_too_large:
            self._too_large_bytes = max(_MIN_LIMIT_BYTES, min(self._too_large_bytes, len(batch.body)))
            if batch.items > 1:
                return _NotAccepted.TOO_LARGE
        self._log.warn(
            f"{self._name} refused {batch.items} items: {describe(response, self._mask)}",
            once_a_minute=f"refused {self._endpoint.url} {response.status}",
        )
        return _Refused(TOO_LARGE if is_too_large else f"status {response.status}")

    def _judge_success(self, batch: Batch, response: Response) -> PartialSuccess | _NotAccepted:
        success = read_success(batch, response, self._mask)
        if foreign := success.description if isinstance(success, NotOtlp) else success.foreign:
            self._log.warn(
                f"{self._endpoint.origin} responded with {response.status} and {foreign}: "
                "check that this is an OTLP endpoint",
                once_a_minute=f"foreign {self._endpoint.origin}",
            )
        if isinstance(success, NotOtlp):
            # A web page or a proxy: what was sent is held, as if nothing responded.
            self._signal.failed(describe(response, self._mask))
            return _NotAccepted.UNAVAILABLE
        self._signal.succeeded()
        if success.rejected or success.message:
            self._log.warn(
                f"{self._name} rejected {success.rejected} of {batch.items} items: {success.message}",
                once_a_minute=f"rejected {self._endpoint.url}",
            )
        return success
