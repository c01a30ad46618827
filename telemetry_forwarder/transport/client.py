"""Sends requests over HTTP, through proxies or over gRPC. Never blocks past a deadline, and never raises."""

import threading
from collections.abc import Iterable
from typing import Protocol

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.version import VERSION
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.grpc_client import GrpcSender
from telemetry_forwarder.transport.http_client import HttpClient
from telemetry_forwarder.transport.outcome import Failure, FailureKind, RequestError, Response
from telemetry_forwarder.transport.sockets import MAX_IDLE, Network
from telemetry_forwarder.transport.tls import tls_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.transport.proxied import ProxiedClient

# https://opentelemetry.io/docs/specs/otel/protocol/exporter/#user-agent
_USER_AGENT = f"telemetry-forwarder/{VERSION} OTel-OTLP-Exporter-Python/{VERSION}"


class RequestSender(Protocol):
    """Sends requests to one endpoint. For any thread."""

    def packed(self, body: bytes) -> bytes:
        """Return *body* as `send` expects it: compressed, if the endpoint wants that and `send` does not do it."""

    def send(self, packed: bytes, attempt: Attempt) -> Response:
        """Send one request and wait for the response. Raises `RequestError`."""

    def close(self) -> None:
        """Close the idle connections, which other endpoints may share."""


class Transport:
    """Sends requests to any endpoint. For any thread. Connections are kept, and shared between endpoints."""

    def __init__(self, log: Diagnostics) -> None:
        self._log = log
        self._network = Network()
        self._clients: dict[tuple[str, ...], HttpClient | ProxiedClient] = {}
        self._senders: dict[Endpoint, RequestSender] = {}
        self._latest: Deadline | None = None
        # For the two dicts: no client is made twice.
        self._lock = threading.Lock()

    def warm(self, endpoints: Iterable[Endpoint]) -> None:
        """Load the certificates and libraries that the first request needs. Opens no connection."""
        for endpoint in endpoints:
            self._sender(endpoint)

    def packed(self, endpoint: Endpoint, body: bytes) -> bytes:
        """Return *body* as `send` expects it."""
        return self._sender(endpoint).packed(body)

    def send(self, endpoint: Endpoint, packed: bytes, deadline: Deadline) -> Response | Failure:
        """Send one request and wait for the response. Blocks until the deadline at most; never raises.

        An idle connection that turns out to be closed, as happens during a freeze, is no failure: the request is
        sent again at once on another connection.
        """
        sender = self._sender(endpoint)
        # Each attempt but the last uses up an idle connection.
        for _ in range(MAX_IDLE):
            attempt = Attempt(deadline, self.left_s)
            outcome = _send(sender, packed, attempt)
            if not attempt.is_pooled or not _is_broken(outcome):
                return outcome
        return _send(sender, packed, Attempt(deadline, self.left_s))

    def hurry(self, deadline: Deadline) -> None:
        """End every request by *deadline* from now on, running ones included. For any thread."""
        self._latest = deadline

    def left_s(self, deadline: Deadline) -> float:
        """Return the seconds left until *deadline*, or until that of `hurry` if it is earlier."""
        left_s = deadline.left_s()
        return left_s if self._latest is None else min(left_s, self._latest.left_s())

    def close(self) -> None:
        """Close the idle connections. No request may be running."""
        for sender in self._senders.values():
            sender.close()

    def _sender(self, endpoint: Endpoint) -> RequestSender:
        sender = self._senders.get(endpoint)
        if sender is None:
            with self._lock:
                sender = self._senders.get(endpoint) or self._new_sender(endpoint)
                self._senders[endpoint] = sender
        return sender

    def _new_sender(self, endpoint: Endpoint) -> RequestSender:
        if endpoint.protocol == GRPC:
            return GrpcSender(endpoint, _USER_AGENT, self._log)
        files = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
        key = (endpoint.proxy, *(() if endpoint.is_insecure else files))
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = self._new_client(endpoint)
        return client.sender(endpoint, _USER_AGENT)

    def _new_client(self, endpoint: Endpoint) -> "HttpClient | ProxiedClient":
        context = None if endpoint.is_insecure else tls_context(endpoint, self._log)
        if not endpoint.proxy:
            return HttpClient(context, self._network)
        # It imports httpx. If a proxy is set, `warm_up` has imported it.
        from telemetry_forwarder.transport.proxied import ProxiedClient

        return ProxiedClient(endpoint.proxy, context, self._network)


def _send(sender: RequestSender, packed: bytes, attempt: Attempt) -> Response | Failure:
    try:
        return sender.send(packed, attempt)
    except RequestError as exc:
        return Failure(exc.kind, str(exc))


def _is_broken(outcome: Response | Failure) -> bool:
    return isinstance(outcome, Failure) and outcome.kind is FailureKind.BROKEN
