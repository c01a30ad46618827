"""Sends requests over HTTP, through proxies or over gRPC. Never blocks past a deadline, and never raises."""

import ssl
import threading
from collections.abc import Callable
from functools import partial

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.http_client import HttpClient
from telemetry_forwarder.transport.outcome import Failure, FailureKind, RequestError, Response
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import MAX_IDLE
from telemetry_forwarder.transport.tls import ContextReader, tls_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Client(Protocol):
        """What sends requests: one class for each protocol, with and without a proxy."""

        def sender(self, endpoint: Endpoint) -> "Sender": ...

        def close(self) -> None: ...


Sender = Callable[[bytes, Attempt], Response]
"""Sends a body to one endpoint and waits for the response. Raises `RequestError`. For any thread."""


class Transport:
    """Sends requests to any endpoint. For any thread. Connections are kept, and shared between endpoints."""

    def __init__(self, log: Diagnostics, resolver: Resolver | None = None) -> None:
        self._log = log
        self._resolver = resolver or Resolver()
        self._clients: dict[tuple[str, ...], _Client] = {}
        self._latest: Deadline | None = None

    def sender(self, endpoint: Endpoint) -> Sender:
        """Return a function for `send`. Loads libraries, and certificates concurrently. For one thread."""
        files = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
        key = (endpoint.protocol, endpoint.proxy, *(() if endpoint.is_insecure else files))
        if (client := self._clients.get(key)) is None:
            client = self._clients[key] = self._new_client(endpoint)
        return client.sender(endpoint)

    def send(self, sender: Sender, body: bytes, deadline: Deadline) -> Response | Failure:
        """Send one request and wait for the response. Blocks until the deadline at most; never raises.

        An idle connection that turns out to be closed, as happens during a freeze, is no failure: the request is
        sent again at once on another connection.
        """
        # Each attempt but the last uses up an idle connection.
        for _ in range(MAX_IDLE + 1):
            attempt = Attempt(deadline, self.left_s)
            try:
                return sender(body, attempt)
            except RequestError as exc:
                failure = Failure(exc.kind, str(exc), exc.cause)
                if attempt.peer is not None:
                    # Another address of the same name may lead to a server that works.
                    self._resolver.avoid(*attempt.peer)
            if attempt.has_new_connection or failure.kind is not FailureKind.BROKEN:
                break
        return failure

    def limit_time(self, deadline: Deadline) -> None:
        """End every request by *deadline* from now on, running ones included. For any thread."""
        self._latest = deadline

    def left_s(self, deadline: Deadline) -> float:
        """Return the seconds left until *deadline*, or until that of `limit_time` if it is earlier."""
        left_s = deadline.left_s()
        return left_s if self._latest is None else min(left_s, self._latest.left_s())

    def close(self) -> None:
        """Close the idle connections. No request may be running."""
        for client in self._clients.values():
            client.close()

    def _new_client(self, endpoint: Endpoint) -> "_Client":
        make = self._maker(endpoint)
        if endpoint.is_insecure:
            return make(None)
        if endpoint.certificate or endpoint.client_certificate:
            return _LateClient(make, ContextReader(endpoint, self._log))
        return make(tls_context(endpoint, self._log))

    def _maker(self, endpoint: Endpoint) -> "Callable[[ssl.SSLContext | None], _Client]":
        if endpoint.protocol == GRPC:
            # It imports hpack, which HTTP does not need. If gRPC is set, `warm_up` has imported it.
            from telemetry_forwarder.transport.grpc.client import GrpcClient

            return partial(GrpcClient, endpoint.proxy, resolver=self._resolver)
        if not endpoint.proxy:
            return partial(HttpClient, resolver=self._resolver)
        # It imports httpx. If a proxy is set, `warm_up` has imported it.
        from telemetry_forwarder.transport.proxied import ProxiedClient

        return partial(ProxiedClient, endpoint.proxy, resolver=self._resolver)


class _LateClient:
    """Makes its client when the files for TLS have been read. Until then requests fail, so that batches are held."""

    def __init__(self, make: "Callable[[ssl.SSLContext | None], _Client]", reader: ContextReader) -> None:
        self._make = make
        self._reader = reader
        self._client: _Client | None = None
        self._senders: dict[str, Sender] = {}
        # The senders of all signals use it.
        self._lock = threading.Lock()

    def sender(self, endpoint: Endpoint) -> Sender:
        return partial(self._send, endpoint)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _send(self, endpoint: Endpoint, body: bytes, attempt: Attempt) -> Response:
        sender = self._senders.get(endpoint.signal)
        if sender is None:
            context = self._reader.context(attempt)
            with self._lock:
                self._client = self._client or self._make(context)
                sender = self._senders[endpoint.signal] = self._client.sender(endpoint)
        return sender(body, attempt)
