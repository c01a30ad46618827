"""Sends requests over gRPC, if grpcio is installed, and returns responses with the status codes of HTTP.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

import importlib.util
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import FailureKind, RequestError, Response

_METHODS = {
    LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    SPANS: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
# All others are 500, which is not retryable. https://opentelemetry.io/docs/specs/otlp/#failures-1
_STATUSES = {
    "CANCELLED": 503,
    "DEADLINE_EXCEEDED": 503,
    "ABORTED": 503,
    "OUT_OF_RANGE": 503,
    "DATA_LOSS": 503,
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 404,
}
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
_KEY = re.compile(r"(?!grpc-)[0-9a-z_.-]+")


def has_grpc() -> bool:
    """Return whether grpcio is installed. Does not import it."""
    return importlib.util.find_spec("grpc") is not None


class GrpcSender:
    """A `RequestSender` with a channel of its own. Imports grpcio, which takes long."""

    def __init__(self, endpoint: Endpoint, user_agent: str, log: Diagnostics) -> None:
        import grpc

        self._grpc: Any = grpc
        options = [("grpc.primary_user_agent", user_agent)]
        target = urlsplit(endpoint.url).netloc
        if endpoint.is_insecure:
            self._channel: Any = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, _credentials(grpc, endpoint, log), options)
        # Without serializers it sends and returns bytes.
        self._call: Any = self._channel.unary_unary(_METHODS[endpoint.signal])
        self._metadata = tuple(_metadata(endpoint.headers, log))
        is_gzip = endpoint.compression == "gzip"
        self._compression = grpc.Compression.Gzip if is_gzip else grpc.Compression.NoCompression

    def packed(self, body: bytes) -> bytes:
        return body

    def send(self, packed: bytes, attempt: Attempt) -> Response:
        future = self._call.future(packed, metadata=self._metadata, compression=self._compression)
        try:
            while True:
                with suppress(self._grpc.FutureTimeoutError):
                    return Response(200, {}, future.result(timeout=attempt.slice_s()))
        except RequestError:
            future.cancel()
            raise
        except self._grpc.RpcError as exc:
            return _response(exc)

    def close(self) -> None:
        self._channel.close()


def _metadata(headers: Mapping[str, str], log: Diagnostics) -> Iterator[tuple[str, str]]:
    for key, value in headers.items():
        if _KEY.fullmatch(key) and not key.endswith("-bin") and value.isascii() and value.isprintable():
            yield key, value
        else:
            # Every call with it would raise.
            log.warn(f"header {key!r} cannot be sent over gRPC and is left out")


def _response(error: Any) -> Response:
    code, details = error.code().name, error.details() or ""
    match code:
        case "UNAVAILABLE":
            # The server's own status or no server at all: gRPC does not distinguish them.
            raise RequestError(FailureKind.UNREACHABLE, details) from error
        case "RESOURCE_EXHAUSTED":
            return _exhausted(error, details)
        case _:
            return _text_response(_STATUSES.get(code, 500), details)


def _exhausted(error: Any, details: str) -> Response:
    """Return 429 if the server sent a retry delay; else 413 if the request was too large, or 500."""
    delay_s = _retry_delay_s(dict(error.trailing_metadata() or ()))
    if delay_s is not None:
        return _text_response(429, details, {"retry-after": str(delay_s)})
    return _text_response(413 if "larger than max" in details else 500, details)


def _text_response(status: int, details: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, {"content-type": "text/plain", **(headers or {})}, details.encode())


def _retry_delay_s(trailers: Mapping[str, Any]) -> int | None:
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

    try:
        details = Status.FromString(trailers.get("grpc-status-details-bin", b"")).details
        for detail in details:
            if detail.Is(RetryInfo.DESCRIPTOR):
                delay = RetryInfo.FromString(detail.value).retry_delay
                delay_s: int = math.ceil(delay.seconds + delay.nanos / 1_000_000_000)
                return delay_s
    except DecodeError:
        pass
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
