"""Sends requests over gRPC, where grpcio is installed, and says what came of them in the words of HTTP.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

import importlib.util
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from telemetry_forwarder.attempt import Attempt, TimeIsUpError
from telemetry_forwarder.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints import Endpoint
from telemetry_forwarder.replies import Answer, Failure, FailureKind

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


class GrpcCalls:
    """One endpoint's channel. May be used from several threads at once. The import costs 50 ms of CPU."""

    def __init__(self, endpoint: Endpoint, user_agent: str, say: Diagnostics) -> None:
        import grpc  # type: ignore[import-untyped]

        self._grpc = grpc
        options = [("grpc.primary_user_agent", user_agent)]
        target = urlsplit(endpoint.url).netloc
        if endpoint.insecure:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, _credentials(grpc, endpoint, say), options)
        # Without serializers bytes go in and come out.
        self._call = self._channel.unary_unary(_METHODS[endpoint.signal])
        self._metadata = list(_metadata(endpoint.headers, say))
        is_gzip = endpoint.compression == "gzip"
        self._compression = grpc.Compression.Gzip if is_gzip else grpc.Compression.NoCompression

    def send(self, body: bytes, attempt: Attempt) -> Answer | Failure:
        """As `Transport.send`."""
        future = self._call.future(body, metadata=self._metadata, compression=self._compression)
        try:
            while True:
                try:
                    return Answer(200, {}, future.result(timeout=attempt.slice_s()))
                except self._grpc.FutureTimeoutError:
                    continue
        except TimeIsUpError as exc:
            future.cancel()
            return Failure(FailureKind.TIMED_OUT, str(exc))
        except self._grpc.RpcError as exc:
            return _read(exc)

    def close(self) -> None:
        self._channel.close()


def _metadata(headers: Mapping[str, str], say: Diagnostics) -> Iterator[tuple[str, str]]:
    for key, value in headers.items():
        if _KEY.fullmatch(key) and not key.endswith("-bin") and value.isascii() and value.isprintable():
            yield key, value
        else:
            # Every call with it would raise.
            say.warn(f"header {key!r} cannot be sent over gRPC; taken instead: the other headers")


def _read(error: Any) -> Answer | Failure:
    code, details = error.code().name, error.details() or ""
    match code:
        case "UNAVAILABLE":
            # Whether the server says so or there is none: gRPC does not tell them apart.
            return Failure(FailureKind.UNREACHABLE, details)
        case "RESOURCE_EXHAUSTED":
            return _exhausted(error, details)
        case _:
            return _answer(_STATUSES.get(code, 500), details)


def _exhausted(error: Any, details: str) -> Answer:
    """Too many requests, if the server says when it will take more; else too large, or refused."""
    delay_s = _retry_delay_s(dict(error.trailing_metadata() or ()))
    if delay_s is not None:
        return _answer(429, details, {"retry-after": str(delay_s)})
    return _answer(413 if "larger than max" in details else 500, details)


def _answer(status: int, details: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {"content-type": "text/plain", **(headers or {})}, details.encode())


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


def _credentials(grpc: Any, endpoint: Endpoint, say: Diagnostics) -> Any:
    paths = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
    authorities, key, chain = (_content(path, say) for path in paths)
    # One without the other makes a channel that never connects.
    if key is None or chain is None:
        key = chain = None
    return grpc.ssl_channel_credentials(authorities, key, chain)


def _content(path: str, say: Diagnostics) -> bytes | None:
    if path:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as exc:
            say.warn(f"{path!r}: {exc}; taken instead: none")
    return None
