"""Sends requests over gRPC, if grpcio is installed, and returns responses with the status codes of HTTP.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

import importlib.util
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.http_client import USER_AGENT
from telemetry_forwarder.transport.outcome import FailureKind, RequestError, Response

_METHODS = {
    LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    SPANS: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
# All others are 500, which is not retryable. https://opentelemetry.io/docs/specs/otlp/#failures-1
_STATUSES = {
    **dict.fromkeys(("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "DATA_LOSS"), 503),
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    **dict.fromkeys(("NOT_FOUND", "UNIMPLEMENTED"), 404),
}
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
_KEY = re.compile(r"(?!grpc-)[0-9a-z_.-]+")


def has_grpc() -> bool:
    """Return whether grpcio is installed. Does not import it."""
    return importlib.util.find_spec("grpc") is not None


class GrpcClient:
    """Keeps a channel to the server of *endpoint*. For any thread. Imports grpcio, which takes long."""

    def __init__(self, endpoint: Endpoint, log: Diagnostics) -> None:
        import grpc

        self._grpc: Any = grpc
        self._log = log
        options = [("grpc.primary_user_agent", USER_AGENT)]
        target = urlsplit(endpoint.url).netloc
        if endpoint.is_insecure:
            self._channel: Any = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, _credentials(grpc, endpoint, log), options)

    def sender(self, endpoint: Endpoint) -> Callable[[bytes, Attempt], Response]:
        """Return a function that sends a body to *endpoint*."""
        compressions = self._grpc.Compression
        start = partial(
            # Without serializers it sends and returns bytes.
            self._channel.unary_unary(_METHODS[endpoint.signal]).future,
            metadata=tuple(_metadata(endpoint.headers, self._log)),
            compression=compressions.Gzip if endpoint.compression == "gzip" else compressions.NoCompression,
        )
        return partial(self._send, start)

    def close(self) -> None:
        self._channel.close()

    def _send(self, start: Callable[[bytes], Any], body: bytes, attempt: Attempt) -> Response:
        future = start(body)
        try:
            while True:
                with suppress(self._grpc.FutureTimeoutError):
                    return Response(200, {}, future.result(timeout=attempt.slice_s()))
        except RequestError:
            future.cancel()
            raise
        except self._grpc.RpcError as exc:
            return _response(exc)


def _metadata(headers: Mapping[str, str], log: Diagnostics) -> Iterator[tuple[str, str]]:
    for key, value in headers.items():
        if _KEY.fullmatch(key) and not key.endswith("-bin") and value.isascii() and value.isprintable():
            yield key, value
        else:
            # Every call with it would raise.
            log.warn(f"header {key!r} cannot be sent over gRPC and is left out")


def _response(error: Any) -> Response:
    """Return the HTTP response that means the same as *error*. Raises `RequestError`."""
    code, details = error.code().name, error.details() or ""
    if code == "UNAVAILABLE":
        # The server's own status or no server at all: gRPC does not distinguish them.
        raise RequestError(FailureKind.UNREACHABLE, details) from error
    status = _STATUSES.get(code, 500)
    headers = {"content-type": "text/plain"}
    if code == "RESOURCE_EXHAUSTED":
        # It may be retried only after the delay that the server sends; without one, the request may be too large.
        delay_s = _retry_delay_s(dict(error.trailing_metadata() or ()))
        if delay_s is not None:
            status = 429
            headers["retry-after"] = str(delay_s)
        elif "larger than max" in details:
            status = 413
    return Response(status, headers, details.encode())


def _retry_delay_s(trailers: Mapping[str, Any]) -> int | None:
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

    info = RetryInfo()
    with suppress(DecodeError):
        for detail in Status.FromString(trailers.get("grpc-status-details-bin", b"")).details:
            if detail.Unpack(info):
                return int(info.retry_delay.seconds + math.ceil(info.retry_delay.nanos / 1_000_000_000))
    return None


def _credentials(grpc: Any, endpoint: Endpoint, log: Diagnostics) -> Any:
    paths = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
    authorities, key, chain = (_content(path, log) for path in paths)
    # With only one of them the channel would never connect.
    if key is None or chain is None:
        key = chain = None
    return grpc.ssl_channel_credentials(authorities, key, chain)


def _content(path: str, log: Diagnostics) -> bytes | None:
    if path:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as exc:
            log.warn(f"{path!r} cannot be used and is ignored: {exc}")
    return None
