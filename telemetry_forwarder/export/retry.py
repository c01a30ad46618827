"""Decides whether a request is repeated, and how long a failing endpoint is left alone."""

import math
import random as _random
from collections.abc import Callable

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.export.circuit_breaker import CircuitBreaker, backoff_s
from telemetry_forwarder.export.responses import describe, retry_after_s
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response

# https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
_RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})


@frozen
class RetryPolicy:
    """How often one request is sent, and the pauses in between."""

    max_attempts: int = 6
    """For one request, within the deadline of its batch."""
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0
    random: Callable[[], float] = _random.random
    """Return a number from 0 to 1: the jitter of pauses."""

    def pause_s(self, outcome: Response | Failure, attempts: int, clock: Clock) -> float:
        """Return how long to wait after *attempts*; infinity if every repetition would fail as well."""
        if isinstance(outcome, Response):
            if (requested_s := retry_after_s(outcome, clock.unix_ns())) is not None:
                return requested_s
        elif outcome.kind is FailureKind.UNTRUSTED:
            return math.inf
        longest_s = self.longest_pause_s
        return backoff_s(self.first_pause_s, longest_s=longest_s, doublings=attempts - 1, random=self.random)


def is_retryable(outcome: Response | Failure) -> bool:
    """Return whether the same request may succeed later."""
    return isinstance(outcome, Failure) or outcome.status in _RETRYABLE_STATUSES


class EndpointHealth:
    """Whether one signal's endpoint accepts telemetry; logs each change. For any thread.

    *server* is shared with the other signals that are sent to the same server, and opens if it cannot be
    reached. *signal* opens if the server responds but does not accept this signal.
    """

    def __init__(self, *, server: CircuitBreaker, signal: CircuitBreaker, log: Diagnostics) -> None:
        self._server = server
        self._signal = signal
        self._log = log

    @property
    def is_failing(self) -> bool:
        return self._server.is_open or self._signal.is_open

    def hold_s(self) -> float:
        """Return how long from now nothing should be sent."""
        return max(self._server.hold_s(), self._signal.hold_s())

    def succeeded(self) -> None:
        """Note a response that needs no repetition."""
        self._close(self._server)
        self._close(self._signal)

    def failed(self, outcome: Response | Failure, now_unix_ns: int, secrets: tuple[str, ...]) -> None:
        """Note the *outcome* of a request's last attempt."""
        breaker, requested_s = self._signal, 0.0
        if isinstance(outcome, Response):
            self._close(self._server)
            requested_s = retry_after_s(outcome, now_unix_ns) or 0.0
        elif outcome.kind in (FailureKind.UNREACHABLE, FailureKind.UNTRUSTED):
            breaker = self._server
        if breaker.failed(requested_s):
            self._log.warn(
                f"{breaker.name} does not accept telemetry: {describe(outcome, secrets)}; "
                f"telemetry is held, next attempt in {breaker.hold_s():.1f} s"
            )

    def _close(self, breaker: CircuitBreaker) -> None:
        if breaker.succeeded():
            self._log.info(f"{breaker.name} responds again")
