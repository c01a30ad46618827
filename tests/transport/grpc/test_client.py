"""Requests over gRPC to a real server of grpcio."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.grpc.client import GrpcClient
from telemetry_forwarder.transport.outcome import Cause, Failure, FailureKind, Response
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S
from tests.support.certificates import Certificates
from tests.support.collector import FakeCollector
from tests.support.fake_clock import FakeClock
from tests.support.requests import BODY, deadline, endpoint_of, kind, new_attempt, send
from tests.support.tcp_server import responds, tcp_server, tunnels

PROTOBUF = {"content-type": "application/x-protobuf"}

Handler = Callable[[bytes, Any], bytes]


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def service(self, _: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._handler)


@contextmanager
def server(
    handler: Handler, certificates: Certificates | None = None, *, address: str = "127.0.0.1:0"
) -> Iterator[str]:
    """Run a gRPC server; yield its host and port."""
    running: Any = grpc.server(ThreadPoolExecutor(2))
    running.add_generic_rpc_handlers([_Everything(handler)])
    if certificates is None:
        port = running.add_insecure_port(address)
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


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_request_arrives_with_its_headers_and_the_response_is_returned(transport: Transport, compression: str) -> None:
    seen: list[Any] = []

    def take(body: bytes, context: Any) -> bytes:
        seen.extend([ExportLogsServiceRequest.FromString(body), dict(context.invocation_metadata())])
        return b"\x0a\x02\x08\x01"

    with server(take) as target:
        endpoint = plain(target, headers={"api-key": "k"}, compression=compression)
        assert send(transport, endpoint) == Response(200, PROTOBUF, b"\x0a\x02\x08\x01")

    request, metadata = seen
    assert request == ExportLogsServiceRequest.FromString(BODY)
    assert metadata["api-key"] == "k"
    assert metadata["user-agent"].startswith("telemetry-forwarder/")


@pytest.mark.parametrize("signal", [LOGS, SPANS, METRICS])
def test_every_signal_has_its_method(transport: Transport, signal: str) -> None:
    with server(lambda _, __: b"") as target:
        assert send(transport, Endpoint(signal, f"http://{target}/", protocol="grpc")) == Response(200, PROTOBUF, b"")


@pytest.mark.parametrize(
    ("code", "status"),
    # https://opentelemetry.io/docs/specs/otlp/#failures-1
    [
        *((code, 503) for code in ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE")),
        ("DATA_LOSS", 503),
        *((code, 500) for code in ("UNKNOWN", "ALREADY_EXISTS", "FAILED_PRECONDITION", "INTERNAL")),
        ("INVALID_ARGUMENT", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("UNIMPLEMENTED", 404),
    ],
)
def test_refusal_is_a_status_with_a_message(transport: Transport, code: str, status: int) -> None:
    with server(refusing(grpc.StatusCode[code], "no, thanks")) as target:
        assert send(transport, plain(target)) == Response(status, {"content-type": "text/plain"}, b"no, thanks")


@pytest.mark.parametrize(
    ("details", "retry_after_s", "status", "retry_after"),
    [
        ("slower", 2.0, 429, "2"),
        ("slower", 0.5, 429, "1"),
        ("slower", 0.0, 429, "0"),
        ("slower", -5.0, 429, "0"),
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


@pytest.mark.parametrize("code", ["UNAVAILABLE", "ABORTED", "DATA_LOSS"])
def test_delay_that_any_server_asks_for_is_returned(transport: Transport, code: str) -> None:
    with server(refusing(grpc.StatusCode[code], "restarting", 7)) as target:
        outcome = send(transport, plain(target))

    assert outcome == Response(503, {"content-type": "text/plain", "retry-after": "7"}, b"restarting")


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
        assert send(transport, plain(target), 0.3) == Failure(FailureKind.TIMED_OUT, "no response in time", Cause.LATE)
        ends.set()


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
        assert send(transport, endpoint) == Response(200, PROTOBUF, b"")


def test_response_of_any_size_is_read_once(transport: Transport) -> None:
    calls = []

    def take(body: bytes, _: Any) -> bytes:
        calls.append(body)
        # Longer than the 4 MiB that most clients allow.
        return bytes(5_000_000)

    with server(take) as target:
        outcomes = [send(transport, plain(target)) for _ in range(2)]

    assert [(outcome.status, len(outcome.body)) for outcome in outcomes if isinstance(outcome, Response)] == [
        (200, 65_536 - 5)
    ] * 2
    assert len(calls) == 2


def test_compressed_response_is_decompressed(transport: Transport) -> None:
    def take(_: bytes, context: Any) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return b"\x0a\x02\x08\x01" * 1_000

    with server(take) as target:
        assert send(transport, plain(target)) == Response(200, PROTOBUF, b"\x0a\x02\x08\x01" * 1_000)


def test_large_request_is_sent_within_the_window_of_the_server(transport: Transport) -> None:
    seen: list[bytes] = []
    body = bytes(range(256)) * 8_000

    def take(received: bytes, _: Any) -> bytes:
        seen.append(received)
        return b""

    with server(take) as target:
        for _ in range(3):
            outcome = transport.send(transport.sender(plain(target, compression="none")), body, deadline())
            assert outcome == Response(200, PROTOBUF, b"")

    assert seen == [body] * 3


def test_connection_is_used_again(transport: Transport) -> None:
    peers: list[str] = []

    def take(_: bytes, context: Any) -> bytes:
        peers.append(context.peer())
        return b""

    with server(take) as target:
        for _ in range(5):
            send(transport, plain(target))

    assert len(peers) == 5
    assert len(set(peers)) == 1


def test_server_that_was_restarted_receives_the_next_request(transport: Transport) -> None:
    with server(lambda _, __: b"") as target:
        send(transport, plain(target))
    outcomes = [send(transport, plain(target))]
    with server(lambda _, __: b"", address=target):
        outcomes.append(send(transport, plain(target)))

    assert [kind(outcome) for outcome in outcomes] == [FailureKind.UNREACHABLE, 200]


def test_request_that_runs_while_the_server_stops_is_answered(transport: Transport) -> None:
    stopping: list[Any] = []

    def take(_: bytes, __: Any) -> bytes:
        # Sends GOAWAY to every connection, then lets the running calls end.
        stopping.append(running.stop(30))
        return b""

    running: Any = grpc.server(ThreadPoolExecutor(2))
    running.add_generic_rpc_handlers([_Everything(take)])
    target = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    running.start()

    assert send(transport, plain(target)) == Response(200, PROTOBUF, b"")
    stopping[0].wait()
    assert kind(send(transport, plain(target))) is FailureKind.UNREACHABLE


class TestProxy:
    def test_calls_go_through_the_proxy(self, transport: Transport, certificates: Certificates) -> None:
        certificate, key = certificates.client
        options: dict[str, Any] = {"certificate": certificates.ca, "client_certificate": certificate, "client_key": key}
        with tcp_server(tunnels) as proxy, server(lambda _, __: b"", certificates) as target:
            endpoint = Endpoint(LOGS, f"https://{target}/", protocol="grpc", proxy=proxy, **options)
            # The proxy serves one connection: both calls use it.
            assert [send(transport, endpoint), send(transport, endpoint)] == [Response(200, PROTOBUF, b"")] * 2
            transport.close()

    def test_request_to_the_proxy_has_its_credentials(self, transport: Transport) -> None:
        received = bytearray()

        def refuse(connection: socket.socket) -> None:
            received.extend(connection.recv(65_536))
            connection.sendall(b"HTTP/1.1 407 Give me your s3cret\r\nContent-Length: 2\r\n\r\nno")

        with tcp_server(refuse) as url:
            proxy = url.replace("http://", "http://me:s3cret@")
            endpoint = Endpoint(LOGS, "http://[::1]:4317/", {"api-key": "k"}, protocol="grpc", proxy=proxy)
            outcome = send(transport, endpoint)

        assert outcome == Failure(FailureKind.UNREACHABLE, "proxy: responded with 407 to CONNECT", Cause.LOGIN)
        assert received == (
            b"CONNECT [::1]:4317 HTTP/1.1\r\nhost: [::1]:4317\r\nproxy-authorization: Basic bWU6czNjcmV0\r\n\r\n"
        )

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "no response to CONNECT"),
            (b"HTTP/1.1 200 OK\r\n", "no response to CONNECT"),
            (b"x" * 20_000, "no response to CONNECT"),
            (b"SSH-2.0\r\n\r\n", "responded with something else than HTTP to CONNECT"),
        ],
    )
    def test_proxy_that_opens_no_tunnel(self, transport: Transport, data: bytes, reason: str) -> None:
        with tcp_server(responds(data)) as proxy:
            outcome = send(transport, Endpoint(LOGS, "http://h:4317/", protocol="grpc", proxy=proxy))

        assert outcome == Failure(FailureKind.UNREACHABLE, f"proxy: {reason}", Cause.NO_PROXY)

    @pytest.mark.parametrize(
        ("url", "port"), [("http://h/", 80), ("https://h/", 443), ("http://h:4317/", 4317), ("https://h:1/", 1)]
    )
    def test_port_is_that_of_the_url(self, transport: Transport, url: str, port: int) -> None:
        received = bytearray()
        with tcp_server(lambda connection: received.extend(connection.recv(65_536))) as proxy:
            send(transport, Endpoint(LOGS, url, protocol="grpc", proxy=proxy))

        assert received.startswith(b"CONNECT h:%d HTTP/1.1\r\n" % port)

    @pytest.mark.parametrize("status", [100, 102, 103, 199])
    def test_interim_responses_to_connect_are_skipped(self, transport: Transport, status: int) -> None:
        interim = b"HTTP/1.1 %d Soon\r\nX: y\r\n\r\n" % status
        received = bytearray()

        def serve(connection: socket.socket) -> None:
            connection.recv(65_536)
            connection.sendall(interim * 3 + b"HTTP/1.1 200 OK\r\n\r\n")
            received.extend(connection.recv(65_536))

        with tcp_server(serve) as proxy:
            send(transport, Endpoint(LOGS, "http://h:4317/", protocol="grpc", proxy=proxy))

        assert received.startswith(b"PRI * HTTP/2.0")

    def test_endless_interim_responses_to_connect_are_no_response(self, transport: Transport) -> None:
        with tcp_server(responds(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000)) as proxy:
            outcome = send(transport, Endpoint(LOGS, "http://h:4317/", protocol="grpc", proxy=proxy))

        assert outcome == Failure(FailureKind.UNREACHABLE, "proxy: no response to CONNECT", Cause.NO_PROXY)

    def test_proxy_that_hangs(self, transport: Transport) -> None:
        ends = threading.Event()
        with tcp_server(lambda _: ends.wait()) as proxy:
            outcome = send(transport, Endpoint(LOGS, "http://h:4317/", protocol="grpc", proxy=proxy), 0.3)
            ends.set()

        assert outcome == Failure(FailureKind.UNREACHABLE, "no connection in time", Cause.LATE)


def test_connection_that_was_idle_for_too_long_is_not_used() -> None:
    clock, peers = FakeClock(), []
    client = GrpcClient("", None, Resolver(), clock)

    def take(_: bytes, context: Any) -> bytes:
        peers.append(context.peer())
        return b""

    with server(take) as target:
        to_logs = client.sender(plain(target))
        for idle_s in (0.0, KEEP_ALIVE_S - 1, KEEP_ALIVE_S):
            clock.advance(idle_s)
            to_logs(BODY, new_attempt())

    client.close()
    assert len(set(peers)) == 2


def test_host_of_the_user_is_the_authority(transport: Transport) -> None:
    with FakeCollector(grpc=True) as collector:
        send(transport, endpoint_of(collector, LOGS, headers={"host": "h", "user-agent": "mine"}))

    headers = collector.requests[0].headers
    assert (headers[":authority"], headers["user-agent"], headers["te"]) == ("h", "mine", "trailers")


def test_server_of_http1_is_named(transport: Transport) -> None:
    with tcp_server(responds(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")) as url:
        outcome = send(transport, plain(url.removeprefix("http://")))

    assert outcome == Failure(FailureKind.BROKEN, "the server responded with HTTP/1", Cause.HTTP1)
