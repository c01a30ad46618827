"""Delivers a batch to the endpoint of its signal, and lets no caller wait longer than its deadline."""

import random as _random
import time
from collections.abc import Callable, Mapping

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.export.circuit_breaker import CircuitBreaker
from telemetry_forwarder.export.route import Patience, Result, Route
from telemetry_forwarder.transport.client import Transport

NO_ENDPOINT = "no endpoint"


class Delivery:
    """Sends to the endpoints. `send` is for one thread at a time of each signal; all else is for any.

    An endpoint that failed, with all the tries that a deadline allowed, is left alone for a while, 1 s at
    first and 60 s at last: what is for it is held, and nobody waits. Then one batch of each signal probes.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        transport: Transport,
        clock: Clock,
        log: Diagnostics,
        *,
        patience: Patience | None = None,
        random: Callable[[], float] = _random.random,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        patience = patience or Patience()
        circuits: dict[str, CircuitBreaker] = {}

        def circuit(key: str) -> CircuitBreaker:
            return circuits.setdefault(key, CircuitBreaker(clock, random, opens_after=patience.opens_after))

        self._transport = transport
        self._routes = {
            signal: Route(
                endpoint,
                transport,
                clock,
                log,
                origin=circuit(endpoint.origin),
                own=circuit(f"{signal} {endpoint.url}"),
                patience=patience,
                random=random,
                wait=wait,
            )
            for signal, endpoint in endpoints.items()
        }

    def is_open(self, signal: str) -> bool:
        """Whether the endpoint of *signal* has failed, and not worked since."""
        return self._routes[signal].is_open

    def send(self, batch: Batch, deadline: Deadline, *, is_last_chance: bool = False) -> Result:
        """Say what became of *batch*. Blocks until *deadline* at most.

        With *is_last_chance* an endpoint is tried even though it is to be left alone.
        """
        if (route := self._routes.get(batch.signal)) is None:
            return Result(batch, dropped={NO_ENDPOINT: batch.items})
        return route.send(batch, deadline, is_last_chance=is_last_chance)

    def hurry(self, deadline: Deadline) -> None:
        """From now on nothing takes longer than *deadline*, what is under way included. From any thread."""
        self._transport.hurry(deadline)

    def close(self) -> None:
        """Close the connections that are kept. Nobody may be sending."""
        self._transport.close()
