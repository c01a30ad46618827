"""Sends requests over HTTP, through proxies or over gRPC. Never blocks past a deadline, and never raises."""

from collections.abc import Callable

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.http_client import HttpClient
from telemetry_forwarder.transport.outcome import Failure, FailureKind, RequestError, Response
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import MAX_IDLE
from telemetry_forwarder.transport.tls import tls_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_forwarder.transport.grpc.client import GrpcClient
    from telemetry_forwarder.transport.proxied import ProxiedClient

Sender = Callable[[bytes, Attempt], Response]
"""Sends a body to one endpoint and waits for the response. Raises `RequestError`. For any thread."""


class Transport:
    """Sends requests to any endpoint. For any thread. Connections are kept, and shared between endpoints."""

    def __init__(self, log: Diagnostics, resolver: Resolver | None = None) -> None:
        self._log = log
        self._resolver = resolver or Resolver()
        self._clients: dict[tuple[str, ...], HttpClient | ProxiedClient | GrpcClient] = {}
        self._latest: Deadline | None = None

    def sender(self, endpoint: Endpoint) -> Sender:
        """Return a function for `send`. Loads certificates and libraries; opens no connection. For one thread."""
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
                failure = Failure(exc.kind, str(exc))
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

    def _new_client(self, endpoint: Endpoint) -> "HttpClient | ProxiedClient | GrpcClient":
        context = None if endpoint.is_insecure else tls_context(endpoint, self._log)
        if endpoint.protocol == GRPC:
            # It imports hpack, which HTTP does not need.
            from telemetry_forwarder.transport.grpc.client import GrpcClient

            return GrpcClient(endpoint.proxy, context, self._resolver)
        if not endpoint.proxy:
            return HttpClient(context, self._resolver)
        # It imports httpx. If a proxy is set, `warm_up` has imported it.
        from telemetry_forwarder.transport.proxied import ProxiedClient

        return ProxiedClient(endpoint.proxy, context, self._resolver)
