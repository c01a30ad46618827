"""Sends requests over gRPC, where grpcio is installed, and says what came of them in the words of HTTP.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

import importlib.util
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.attempt import Attempt, TimeIsUpError
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response

_METHODS = {
    LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    SPANS: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
# What is not here, and not retryable, is 500. https://opentelemetry.io/docs/specs/otlp/#failures-1
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
    """Whether `GrpcCalls` can be made. Imports nothing."""
    return importlib.util.find_spec("grpc") is not None


class GrpcClient:
    """One endpoint's channel. May be used from several threads at once. The import costs 50 ms of CPU."""

    def __init__(self, endpoint: Endpoint, user_agent: str, log: Diagnostics) -> None:
        import grpc  # type: ignore[import-untyped]

        self._grpc = grpc
        options = [("grpc.primary_user_agent", user_agent)]
        target = urlsplit(endpoint.url).netloc
        if endpoint.is_insecure:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, _credentials(grpc, endpoint, log), options)
        # Without serializers bytes go in and come out.
        self._call = self._channel.unary_unary(_METHODS[endpoint.signal])
        self._metadata = list(_metadata(endpoint.headers, log))
        is_gzip = endpoint.compression == "gzip"
        self._compression = grpc.Compression.Gzip if is_gzip else grpc.Compression.NoCompression

    def send(self, body: bytes, attempt: Attempt) -> Response | Failure:
        """As `Transport.send`."""
        future = self._call.future(body, metadata=self._metadata, compression=self._compression)
        try:
            while True:
                try:
                    return Response(200, {}, future.result(timeout=attempt.slice_s()))
                except self._grpc.FutureTimeoutError:
                    continue
        except TimeIsUpError as exc:
            future.cancel()
            return Failure(FailureKind.TIMED_OUT, str(exc))
        except self._grpc.RpcError as exc:
            return _read(exc)

    def close(self) -> None:
        self._channel.close()


def _metadata(headers: Mapping[str, str], log: Diagnostics) -> Iterator[tuple[str, str]]:
    for key, value in headers.items():
        if _KEY.fullmatch(key) and not key.endswith("-bin") and value.isascii() and value.isprintable():
            yield key, value
        else:
            # Every call with it would raise.
            log.warn(f"header {key!r} cannot be sent over gRPC; taken instead: the other headers")


def _read(error: Any) -> Response | Failure:
    code, details = error.code().name, error.details() or ""
    match code:
        case "UNAVAILABLE":
            # Whether the server says so or there is none: gRPC does not tell them apart.
            return Failure(FailureKind.UNREACHABLE, details)
        case "RESOURCE_EXHAUSTED":
            return _exhausted(error, details)
        case _:
            return _answer(_STATUSES.get(code, 500), details)


def _exhausted(error: Any, details: str) -> Response:
    """Too many requests, if the server says when it will take more; else too large, or refused."""
    delay_s = _retry_delay_s(dict(error.trailing_metadata() or ()))
    if delay_s is not None:
        return _answer(429, details, {"retry-after": str(delay_s)})
    return _answer(413 if "larger than max" in details else 500, details)


def _answer(status: int, details: str, headers: Mapping[str, str] | None = None) -> Response:
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
    # One without the other makes a channel that never connects.
    if key is None or chain is None:
        key = chain = None
    return grpc.ssl_channel_credentials(authorities, key, chain)


def _content(path: str, log: Diagnostics) -> bytes | None:
    if path:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as exc:
            log.warn(f"{path!r}: {exc}; taken instead: none")
    return None
