"""The way of one signal to its endpoint: tries again, splits, gives up for a while."""

import math
import sys
from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.export.circuit_breaker import CircuitBreaker, jittered
from telemetry_forwarder.export.responses import Partial, partial, refusal, retry_after_s, secrets
from telemetry_forwarder.export.splitting import halves, joined
from telemetry_forwarder.transport.attempt import SLICE_S
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response

TOO_LARGE = "too large"
_NONE: Mapping[str, int] = MappingProxyType({})

# OTLP/HTTP names exactly these as worth another try.
# https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
_RETRYABLE = frozenset({429, 502, 503, 504})
_CONTENT_TOO_LARGE = 413
# No limit below this is believed for longer than one batch: what comes would be cut to shreds for ever.
_LEAST_LIMIT_BYTES = 65_536
_MOST_TOO_LARGE = 16


@frozen
class Result:
    """What became of a batch: its items = delivered + rejected + all that is dropped + those held."""

    batch: Batch
    """As it was given."""
    delivered: int = 0
    rejected: int = 0
    """By the endpoint, which took the rest: not to be sent again."""
    dropped: Mapping[str, int] = _NONE
    """Items by reason."""
    held: Batch | None = None
    """What is still to be delivered, and is to be put back; the batch itself where nothing was settled."""


@frozen
class Patience:
    """How often an endpoint is asked, and what it takes to leave it alone."""

    most_tries: int = 6
    """Of one batch, within its deadline."""
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0
    opens_after: int = 1
    """So many batches in a row, with all their tries."""


class _Refused(NamedTuple):
    reason: str


class _Verdict(Enum):
    TOO_LARGE = auto()
    UNAVAILABLE = auto()


class _Tally:
    """A Result in the making."""

    __slots__ = ("delivered", "dropped", "rejected")

    def __init__(self) -> None:
        self.delivered = 0
        self.rejected = 0
        self.dropped: dict[str, int] = {}

    def drop(self, items: int, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + items

    def result(self, batch: Batch, held: Batch | None = None) -> Result:
        return Result(batch, self.delivered, self.rejected, self.dropped, held)


class Route:
    """One signal's way. *origin* is the circuit of the server, shared with other signals' routes to it."""

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        clock: Clock,
        log: Diagnostics,
        *,
        origin: CircuitBreaker,
        own: CircuitBreaker,
        patience: Patience,
        random: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        self._endpoint = endpoint
        self._secrets = secrets(endpoint)
        self._transport = transport
        self._clock = clock
        self._log = log
        self._origin = origin
        self._own = own
        self._patience = patience
        self._random = random
        self._wait = wait
        self._too_large_bytes = sys.maxsize
        """The size of the smallest batch that was too large: one like it need not be tried."""

    @property
    def is_open(self) -> bool:
        return self._origin.is_open or self._own.is_open

    def hold_s(self) -> float:
        """How long from now the endpoint is left alone."""
        return max(self._origin.hold_s(), self._own.hold_s())

    def send(self, batch: Batch, deadline: Deadline, *, is_last_chance: bool) -> Result:
        """What becomes of *batch*; it is held untried where the endpoint is to be left alone."""
        if self.hold_s() and not is_last_chance:
            return Result(batch, held=batch)
        limit = deadline.within(self._endpoint.timeout_s)
        tries = 1 if self.is_open and not is_last_chance else self._patience.most_tries
        return self._send(batch, limit, tries)

    def _send(self, batch: Batch, deadline: Deadline, tries: int) -> Result:
        tally = _Tally()
        waiting = [batch]
        while waiting:
            piece = waiting.pop()
            match self._offer(piece, deadline, tries):
                case Partial(rejected):
                    tally.delivered += piece.items - rejected
                    tally.rejected += rejected
                case _Refused(reason):
                    tally.drop(piece.items, reason)
                case _Verdict.TOO_LARGE:
                    waiting += reversed(self._parts(piece, tally))
                case _:
                    return tally.result(batch, held=joined([piece, *reversed(waiting)]))
        return tally.result(batch)

    def _parts(self, piece: Batch, tally: _Tally) -> tuple[Batch, ...]:
        """What to send instead of a piece that was too large; nothing where it is dropped."""
        # An endpoint that takes not even single items will take none of a thousand either.
        is_hopeless = tally.dropped.get(TOO_LARGE, 0) >= _MOST_TOO_LARGE and not tally.delivered
        parts = None if is_hopeless else halves(piece)
        if parts is None:
            tally.drop(piece.items, TOO_LARGE)
        return parts or ()

    def _offer(self, batch: Batch, deadline: Deadline, tries: int) -> Partial | _Refused | _Verdict:
        """Send one request, again and again while that is worth it and there is time."""
        if len(batch.body) >= self._too_large_bytes and batch.items > 1:
            return _Verdict.TOO_LARGE
        if self._transport.left_s(deadline) == 0.0:
            return _Verdict.UNAVAILABLE
        packed = self._transport.packed(self._endpoint, batch.body)
        number = 0
        while True:
            number += 1
            reply = self._transport.send(self._endpoint, packed, deadline)
            if isinstance(reply, Response) and reply.status not in _RETRYABLE:
                self._note_answer(self._origin, self._own)
                return self._judge(batch, reply)
            pause_s = self._pause_s(reply, number)
            if number == tries or pause_s >= self._transport.left_s(deadline):
                break
            self._pause(pause_s, deadline)
        self._give_up(reply)
        return _Verdict.UNAVAILABLE

    def _judge(self, batch: Batch, answer: Response) -> Partial | _Refused | _Verdict:
        if 200 <= answer.status < 300:
            taken = partial(batch, answer, self._secrets)
            self._report(batch, taken, answer.status)
            return taken
        if answer.status == _CONTENT_TOO_LARGE:
            self._too_large_bytes = max(_LEAST_LIMIT_BYTES, min(self._too_large_bytes, len(batch.body)))
            if batch.items > 1:
                return _Verdict.TOO_LARGE
        self._log.warn(
            f"{self._where} refused {batch.items} items: {refusal(answer, self._secrets)}",
            once_a_minute=f"refused {self._endpoint.url} {answer.status}",
        )
        return _Refused(TOO_LARGE if answer.status == _CONTENT_TOO_LARGE else f"status {answer.status}")

    def _report(self, batch: Batch, taken: Partial, status: int) -> None:
        if taken.rejected or taken.message:
            self._log.warn(
                f"{self._where} rejected {taken.rejected} of {batch.items} items: {taken.message}",
                once_a_minute=f"rejected {self._endpoint.url}",
            )
        elif taken.foreign_type:
            self._log.warn(
                f"{self._endpoint.origin} answered {status} with {taken.foreign_type}: is this an OTLP endpoint?",
                once_a_minute=f"foreign {self._endpoint.origin}",
            )
        elif not taken.is_readable:
            self._log.debug(
                lambda: f"{self._where} took {batch.items} items, with an answer that is not OTLP"
            )

    def _pause_s(self, reply: Response | Failure, number: int) -> float:
        """How long to wait after try *number*; for ever, where another try would be the same again."""
        if isinstance(reply, Response):
            if (asked_s := retry_after_s(reply, self._clock.unix_ns())) is not None:
                return asked_s
        elif reply.kind is FailureKind.UNTRUSTED:
            return math.inf
        ceiling_s = min(self._patience.first_pause_s * 2.0 ** (number - 1), self._patience.longest_pause_s)
        return jittered(ceiling_s, self._random)

    def _pause(self, seconds: float, deadline: Deadline) -> None:
        end = Deadline.after(seconds, self._clock)
        while left_s := min(end.left_s(), self._transport.left_s(deadline)):
            self._wait(min(left_s, SLICE_S))

    def _note_answer(self, *circuits: CircuitBreaker) -> None:
        for circuit in circuits:
            if circuit.worked():
                self._log.info(f"{self._name_of(circuit)} answers again")

    def _give_up(self, reply: Response | Failure) -> None:
        circuit, asked_s = self._own, 0.0
        if isinstance(reply, Response):
            self._note_answer(self._origin)
            asked_s = retry_after_s(reply, self._clock.unix_ns()) or 0.0
        elif reply.kind in (FailureKind.UNREACHABLE, FailureKind.UNTRUSTED):
            circuit = self._origin
        if circuit.failed(asked_s):
            self._log.warn(
                f"{self._name_of(circuit)} does not take telemetry, which is held: "
                f"{refusal(reply, self._secrets)}; "
                f"next try in {circuit.hold_s():.1f} s"
            )

    @property
    def _where(self) -> str:
        return f"{self._endpoint.origin} ({self._endpoint.signal})"

    def _name_of(self, circuit: CircuitBreaker) -> str:
        return self._endpoint.origin if circuit is self._origin else self._where
