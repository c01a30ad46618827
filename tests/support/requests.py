"""Requests over a transport or one of its parts, with a deadline that a busy machine meets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Failure, FailureKind, RequestError, Response
from tests.support.batches import batch
from tests.support.collector import FakeCollector

BODY = batch(LOGS, 2).body
ACCEPTED = Response(200, {"content-type": "application/x-protobuf"}, b"")
"""What a collector responds by default."""


def deadline(seconds: float = 30.0) -> Deadline:
    """Return a deadline on the machine's clock."""
    return Deadline.after(seconds, Clock())


def new_attempt(seconds: float = 30.0) -> Attempt:
    """Return an attempt on the machine's clock."""
    return Attempt(deadline(seconds), Deadline.left_s)


def endpoint_of(collector: FakeCollector, signal: str, **options: Any) -> Endpoint:
    """Return the endpoint of *signal* at *collector*, with its protocol."""
    if collector.is_grpc:
        return Endpoint(signal, f"{collector.endpoint}/", protocol=GRPC, **options)
    return Endpoint(signal, f"{collector.endpoint}/v1/{signal}", **options)


def logs_endpoint(collector: FakeCollector, **options: Any) -> Endpoint:
    return endpoint_of(collector, LOGS, **options)


def send(transport: Transport, endpoint: Endpoint, seconds: float = 30.0) -> Response | Failure:
    """Send `BODY`."""
    return transport.send(transport.sender(endpoint), BODY, deadline(seconds))


def kind(outcome: Response | Failure) -> FailureKind | int:
    """Return the kind of a failure, or the status of a response."""
    return outcome.kind if isinstance(outcome, Failure) else outcome.status


@contextmanager
def raises(kind: FailureKind, match: str | None = None) -> Iterator[None]:
    """Expect a `RequestError` of that kind."""
    with pytest.raises(RequestError, match=match) as raised:
        yield
    assert raised.value.kind is kind
