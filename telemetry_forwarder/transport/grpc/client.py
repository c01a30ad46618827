"""Sends requests over gRPC: one call at a time on a connection, which is kept for the next.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import SplitResult, urlsplit

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import host_and_port, server_of
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.grpc.http2 import Http2Connection
from telemetry_forwarder.transport.grpc.status import response_of_call
from telemetry_forwarder.transport.http_client import USER_AGENT, IdleConnections, compressed, open_tunnel
from telemetry_forwarder.transport.outcome import Response
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import connect

_METHODS = {
    LOGS: b"/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    SPANS: b"/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    METRICS: b"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}


class GrpcClient:
    """Keeps connections to servers, shared between endpoints. For any thread."""

    def __init__(
        self, proxy: str, context: "ssl.SSLContext | None", resolver: Resolver, clock: Clock | None = None
    ) -> None:
        """*context*: for `https`, else None."""
        self._proxy = urlsplit(proxy) if proxy else None
        self._context = context
        self._resolver = resolver
        self._idle: IdleConnections[Http2Connection] = IdleConnections(clock or Clock())
        if context is not None:
            context.set_alpn_protocols(["h2"])

    def sender(self, endpoint: Endpoint) -> Callable[[bytes, Attempt], Response]:
        """Return a function that sends a body to *endpoint*."""
        url = urlsplit(endpoint.url)
        return partial(self._send, _Destination(endpoint, server_of(url), tuple(self._headers(endpoint, url))))

    def close(self) -> None:
        self._idle.close()

    def _send(self, to: "_Destination", body: bytes, attempt: Attempt) -> Response:
        packed = compressed(to.endpoint, body)
        is_compressed = to.endpoint.compression == "gzip"
        connection = self._connection(to.server, attempt)
        is_last = True
        try:
            message = b"%c%b%b" % (is_compressed, len(packed).to_bytes(4, "big"), packed)
            response = connection.request(to.headers, message, attempt)
            is_last = connection.is_last
        finally:
            if is_last:
                connection.close()
        if not is_last:
            self._idle.keep(to.server, connection)
        return response_of_call(
            response.headers, bytes(response.body), response.trailers, has_ended=response.is_complete
        )

    def _connection(self, server: tuple[str, int], attempt: Attempt) -> Http2Connection:
        while (connection := self._idle.take(server)) is not None:
            if connection.is_usable(attempt):
                return connection
            connection.close()
        stream = connect(server_of(self._proxy) if self._proxy else server, attempt, self._resolver)
        if self._proxy:
            open_tunnel(stream, self._proxy, server, attempt)
        return Http2Connection(stream.start_tls(self._context, server[0], attempt) if self._context else stream)

    def _headers(self, endpoint: Endpoint, url: SplitResult) -> Iterator[tuple[bytes, bytes]]:
        """Yield the headers of each call; the user's take precedence."""
        headers = {
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": USER_AGENT,
            "grpc-accept-encoding": "identity,gzip",
        }
        if endpoint.compression == "gzip":
            headers["grpc-encoding"] = "gzip"
        headers |= endpoint.headers
        authority = headers.pop("host", host_and_port(url))
        yield from ((b":method", b"POST"), (b":scheme", url.scheme.encode()), (b":path", _METHODS[endpoint.signal]))
        yield b":authority", authority.encode()
        yield from ((key.encode(), value.encode()) for key, value in headers.items())


@frozen
class _Destination:
    endpoint: Endpoint
    server: tuple[str, int]
    headers: tuple[tuple[bytes, bytes], ...]
