"""Decides whether and when a request is repeated. Never blocks."""

import math
from collections.abc import Callable
from typing import TypeGuard

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.core.jitter import random_fraction
from telemetry_forwarder.export.circuit_breaker import backoff_s, spread_s
from telemetry_forwarder.export.responses import retry_after_s
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
    random: Callable[[], float] = staticmethod(random_fraction)
    """Return a number from 0 to 1: the jitter of pauses."""

    def pause_s(self, outcome: Response | Failure, attempts: int, clock: Clock) -> float:
        """Return how long to wait after *attempts*; infinity if every repetition would fail as well."""
        if isinstance(outcome, Response):
            if (requested_s := retry_after_s(outcome, clock.unix_ns())) is not None:
                return spread_s(requested_s, self.random)
        elif outcome.kind is FailureKind.UNTRUSTED:
            return math.inf
        return backoff_s(self.first_pause_s, longest_s=self.longest_pause_s, doublings=attempts - 1, random=self.random)


def is_final(outcome: Response | Failure) -> TypeGuard[Response]:
    """Return whether *outcome* is a response after which the request must not be sent again."""
    return isinstance(outcome, Response) and outcome.status not in _RETRYABLE_STATUSES
