"""Requests over gRPC to a real server of grpcio; skipped if grpcio is not installed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.grpc_client import has_grpc
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from tests.support.captured_log import CapturedLog
from tests.support.certificates import Certificates
from tests.support.requests import BODY, send

grpc: Any = pytest.importorskip("grpc")

Handler = Callable[[bytes, Any], bytes]


class _Everything(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def service(self, _: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._handler)


@contextmanager
def server(handler: Handler, certificates: Certificates | None = None) -> Iterator[str]:
    """Run a gRPC server; yield its host and port."""
    running = grpc.server(ThreadPoolExecutor(2))
    running.add_generic_rpc_handlers([_Everything(handler)])
    if certificates is None:
        port = running.add_insecure_port("127.0.0.1:0")
    else:
        chain, key = (Path(path).read_bytes() for path in certificates.server)
        ca = Path(certificates.ca).read_bytes()
        credentials = grpc.ssl_server_credentials([(key, chain)], ca, require_client_auth=True)
        port = running.add_secure_port("127.0.0.1:0", credentials)
    running.start()
    yield f"127.0.0.1:{port}"
    running.stop(None).wait()


def plain(target: str, **options: Any) -> Endpoint:
    return Endpoint(LOGS, f"http://{target}/", protocol="grpc", **options)


def refusing(code: Any, details: str = "", retry_after_s: float | None = None) -> Handler:
    def handle(_: bytes, context: Any) -> bytes:
        if retry_after_s is not None:
            delay = Duration()
            delay.FromNanoseconds(int(retry_after_s * 1e9))
            info = AnyMessage()
            info.Pack(RetryInfo(retry_delay=delay))
            status = Status(details=[AnyMessage(type_url="x/y"), info]).SerializeToString()
            context.set_trailing_metadata([("grpc-status-details-bin", status)])
        context.abort(code, details)
        raise AssertionError

    return handle


def test_has_grpc_if_grpcio_is_installed() -> None:
    assert has_grpc()


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_request_arrives_with_its_headers_and_the_response_is_returned(transport: Transport, compression: str) -> None:
    seen: list[Any] = []

    def take(body: bytes, context: Any) -> bytes:
        seen.extend([ExportLogsServiceRequest.FromString(body), dict(context.invocation_metadata())])
        return b"\x0a\x02\x08\x01"

    with server(take) as target:
        endpoint = plain(target, headers={"api-key": "k"}, compression=compression)
        assert send(transport, endpoint) == Response(200, {}, b"\x0a\x02\x08\x01")

    request, metadata = seen
    assert request == ExportLogsServiceRequest.FromString(BODY)
    assert metadata["api-key"] == "k"
    assert metadata["user-agent"].startswith("telemetry-forwarder/")


def test_header_that_grpc_cannot_send_is_logged_and_left_out(transport: Transport, captured: CapturedLog) -> None:
    headers = {"a": "ü", "b-bin": "x", "grpc-c": "x", "d!": "x", "e": "x"}

    with server(lambda _, __: b"") as target:
        assert send(transport, plain(target, headers=headers)) == Response(200, {}, b"")

    assert captured.lines == [
        f"WARN header {key!r} cannot be sent over gRPC and is left out" for key in ("a", "b-bin", "grpc-c", "d!")
    ]


@pytest.mark.parametrize("signal", [LOGS, SPANS, METRICS])
def test_every_signal_has_its_method(transport: Transport, signal: str) -> None:
    with server(lambda _, __: b"") as target:
        assert send(transport, Endpoint(signal, f"http://{target}/", protocol="grpc")) == Response(200, {}, b"")


@pytest.mark.parametrize(
    ("code", "status"),
    [("ABORTED", 503), ("DATA_LOSS", 503), ("INVALID_ARGUMENT", 400), ("UNAUTHENTICATED", 401), ("INTERNAL", 500)],
)
def test_refusal_is_a_status_with_a_message(transport: Transport, code: str, status: int) -> None:
    with server(refusing(grpc.StatusCode[code], "no, thanks")) as target:
        assert send(transport, plain(target)) == Response(status, {"content-type": "text/plain"}, b"no, thanks")


@pytest.mark.parametrize(
    ("details", "retry_after_s", "status", "retry_after"),
    [
        ("slower", 2.0, 429, "2"),
        ("slower", 0.5, 429, "1"),
        ("quota", None, 500, None),
        ("grpc: received message larger than max (5 vs. 4)", None, 413, None),
    ],
)
def test_exhausted_server(
    transport: Transport, details: str, retry_after_s: float | None, status: int, retry_after: str | None
) -> None:
    with server(refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, details, retry_after_s)) as target:
        outcome = send(transport, plain(target))

    assert isinstance(outcome, Response)
    assert (outcome.status, outcome.headers.get("retry-after")) == (status, retry_after)


def test_malformed_details_are_ignored(transport: Transport) -> None:
    def handle(_: bytes, context: Any) -> bytes:
        context.set_trailing_metadata([("grpc-status-details-bin", b"\xff")])
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        raise AssertionError

    with server(handle) as target:
        assert send(transport, plain(target)) == Response(500, {"content-type": "text/plain"}, b"")


def test_server_that_is_not_there(transport: Transport) -> None:
    outcome = send(transport, plain("127.0.0.1:1"))

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNREACHABLE


def test_server_that_does_not_respond(transport: Transport) -> None:
    ends = threading.Event()

    def hang(_: bytes, __: Any) -> bytes:
        ends.wait()
        return b""

    with server(hang) as target:
        # Longer than a slice of the wait.
        assert send(transport, plain(target), 0.3) == Failure(FailureKind.TIMED_OUT, "no response in time")
        ends.set()


def test_no_time_left_at_all(transport: Transport) -> None:
    assert send(transport, plain("127.0.0.1:1"), 0) == Failure(FailureKind.TIMED_OUT, "no response in time")


def test_tls_with_a_client_certificate(transport: Transport, certificates: Certificates) -> None:
    certificate, key = certificates.client
    with server(lambda _, __: b"", certificates) as target:
        endpoint = Endpoint(
            LOGS,
            f"https://{target}/",
            protocol="grpc",
            certificate=certificates.ca,
            client_certificate=certificate,
            client_key=key,
        )
        assert send(transport, endpoint) == Response(200, {}, b"")


def test_file_that_cannot_be_read_is_logged_and_ignored(
    transport: Transport, captured: CapturedLog, certificates: Certificates
) -> None:
    endpoint = Endpoint(
        LOGS, "https://127.0.0.1:1/", protocol="grpc", certificate=certificates.ca, client_key="/nowhere.key"
    )

    assert isinstance(send(transport, endpoint), Failure)
    assert captured.lines == [
        "WARN '/nowhere.key' cannot be used and is ignored: [Errno 2] No such file or directory: '/nowhere.key'"
    ]
