"""Requests through a proxy."""

import socket
import ssl
import threading

import httpx
import pytest

from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Cause, Failure, FailureKind, Response
from telemetry_forwarder.transport.proxied import ProxiedClient
from telemetry_forwarder.transport.resolver import Resolver
from tests.support import collector as c
from tests.support.certificates import Certificates
from tests.support.collector import FakeCollector
from tests.support.requests import ACCEPTED, kind, logs_endpoint, new_attempt, raises, send
from tests.support.tcp_server import responds, tcp_server, tunnels

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def behind(proxy: str, url: str = "http://nobody.invalid/v1/logs", **options: str) -> Endpoint:
    return Endpoint(LOGS, url, proxy=proxy, **options)  # type: ignore[arg-type]


class TestRequest:
    def test_plain_http_is_requested_from_the_proxy(self, transport: Transport, collector: FakeCollector) -> None:
        send(transport, behind(collector.endpoint.replace("//", "//me:p%40ss@")))

        request = collector.requests[0]
        assert request.path == "http://nobody.invalid/v1/logs"
        assert request.headers == {
            "host": "nobody.invalid",
            "user-agent": "telemetry-forwarder/0.1.0 OTel-OTLP-Exporter-Python/0.1.0",
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            "content-length": str(request.wire_bytes),
            "proxy-authorization": "Basic bWU6cEBzcw==",
        }

    def test_password_of_the_proxy_needs_no_name(self, transport: Transport, collector: FakeCollector) -> None:
        send(transport, behind(collector.endpoint.replace("//", "//:token@")))

        assert collector.requests[0].headers["proxy-authorization"] == "Basic OnRva2Vu"

    def test_https_is_sent_through_a_tunnel(self, transport: Transport, certificates: Certificates) -> None:
        with FakeCollector(tls=certificates.server) as collector, tcp_server(tunnels) as proxy:
            endpoint = logs_endpoint(collector, certificate=certificates.ca, proxy=proxy)

            assert [send(transport, endpoint), send(transport, endpoint)] == [ACCEPTED, ACCEPTED]
            assert collector.connections == 1
            transport.close()

    def test_dead_connection_costs_one_more_request(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.OK, c.HangUp())

        # 404, for the collector is the proxy, which does not forward.
        assert [kind(send(transport, behind(collector.endpoint))) for _ in range(2)] == [404, 404]
        assert (collector.connections, len(collector.requests)) == (2, 3)

    def test_it_is_a_transport_for_any_client_of_httpx(self, collector: FakeCollector) -> None:
        timeout: dict[str, Attempt] = dict.fromkeys(("connect", "read", "write"), new_attempt())
        client = ProxiedClient(collector.endpoint, None, Resolver())

        with httpx.Client(transport=client, trust_env=False) as user:
            request = user.build_request("POST", "http://nobody.invalid/", content=b"body")
            request.extensions["timeout"] = timeout
            response = user.send(request)

        assert (response.status_code, collector.requests[0].body) == (404, b"body")


class TestResponse:
    def test_response_has_its_status_body_and_the_kept_headers(self, transport: Transport) -> None:
        data = b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nX: y\r\nContent-Length: 2\r\n\r\nno"
        with tcp_server(responds(data)) as proxy:
            assert send(transport, behind(proxy)) == Response(429, {"retry-after": "3"}, b"no")

    def test_endless_body_is_cut(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Endless(status=400, piece=b"x" * 50_000))

        outcome = send(transport, behind(collector.endpoint))

        assert isinstance(outcome, Response)
        assert (outcome.status, outcome.body) == (400, b"x" * 65_536)

    def test_status_counts_even_if_the_body_is_incomplete(self, transport: Transport) -> None:
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
        with tcp_server(responds(data)) as proxy:
            assert send(transport, behind(proxy)) == Response(200, {}, b"half", is_whole=False)

    @pytest.mark.parametrize(
        "head",
        [
            b"bad header\r\nContent-Length: 0",
            b"Server : x\r\nContent-Length: 0",
            b"X: a\0b\r\nContent-Length: 0",
            b"Content-Length: 0\r\nContent-Length: 2",
            b"Content-Length: -1",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b": no name\r\nContent-Length: 0",
            b"Content-Type: application/json\0\r\nContent-Length: 0",
            b"X: " + b"x" * 40_000 + b"\r\nX: " + b"x" * 70_000,
        ],
    )
    def test_odd_head_is_a_response_as_without_a_proxy(self, transport: Transport, head: bytes) -> None:
        requests = []

        def serve(connection: socket.socket) -> None:
            requests.append(connection.recv(65_536))
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")

        with tcp_server(serve) as server:
            outcomes = [send(transport, endpoint) for endpoint in (behind(server), Endpoint(LOGS, server))]

        assert [kind(outcome) for outcome in outcomes] == [200, 200]
        assert len(requests) == 2

    def test_odd_head_inside_a_tunnel_is_a_response(self, transport: Transport, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.server)

        def serve(connection: socket.socket) -> None:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nbad header\r\n\r\n")
            with context.wrap_socket(connection, server_side=True) as inner:
                inner.recv(65_536)
                inner.sendall(b"HTTP/1.1 200 OK\r\nServer : x\r\nContent-Length: 0\r\n\r\n")

        with tcp_server(serve) as proxy:
            endpoint = behind(proxy, "https://localhost/", certificate=certificates.ca)
            assert send(transport, endpoint) == Response(200, {}, b"")

    @pytest.mark.parametrize("status", [204, 205, 304, 600, 999])
    def test_any_status_is_read_as_without_a_proxy(self, transport: Transport, status: int) -> None:
        with tcp_server(responds(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status)) as server:
            through, direct = (send(transport, each) for each in (behind(server), Endpoint(LOGS, server)))

        assert kind(through) == kind(direct) == status


class TestFailure:
    def test_error_of_the_proxy_is_reported_as_such(self, transport: Transport) -> None:
        refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        with tcp_server(responds(refusal)) as proxy:
            outcome = send(transport, behind(proxy, "https://nobody.invalid/"))

        assert outcome == Failure(FailureKind.UNREACHABLE, "proxy: responded with 407 to CONNECT", Cause.LOGIN)

    def test_proxy_that_refuses_the_connection(self, transport: Transport, collector: FakeCollector) -> None:
        collector.refuse()

        assert send(transport, behind(collector.endpoint)) == Failure(
            FailureKind.UNREACHABLE, "Connection refused", Cause.REFUSED
        )

    def test_name_that_no_certificate_can_have(self, transport: Transport) -> None:
        with tcp_server(responds(ESTABLISHED)) as proxy:
            outcome = send(transport, behind(proxy, "https://.invalid/"))

        assert kind(outcome) is FailureKind.UNTRUSTED

    @pytest.mark.parametrize("data", [b"", b"SSH-2.0-OpenSSH\r\n\r\n"])
    def test_connection_that_ends_without_a_response_is_broken(self, transport: Transport, data: bytes) -> None:
        with tcp_server(responds(data)) as proxy:
            assert kind(send(transport, behind(proxy))) is FailureKind.BROKEN

    def test_invalid_header_is_not_quoted(self, transport: Transport, collector: FakeCollector) -> None:
        endpoint = Endpoint(LOGS, "http://h/", {"api-key": "SECRET\n"}, proxy=collector.endpoint)

        assert send(transport, endpoint) == Failure(FailureKind.BROKEN, "the request is not HTTP")

    @pytest.mark.parametrize("credentials", ["u%C3%A9:%C3%A9", "u:%ff", ":%F0%9F%98%80"])
    def test_credentials_of_the_proxy_may_be_any_text(
        self, transport: Transport, collector: FakeCollector, credentials: str
    ) -> None:
        proxy = collector.endpoint.replace("://", f"://{credentials}@")

        assert isinstance(send(transport, Endpoint(LOGS, "http://h/v1/logs", proxy=proxy)), Response)

    def test_url_that_httpx_does_not_accept_is_a_failure(self, transport: Transport, collector: FakeCollector) -> None:
        endpoint = Endpoint(LOGS, "http://h/" + "x" * 70_000, proxy=collector.endpoint)

        assert kind(send(transport, endpoint)) is FailureKind.BROKEN


class TestDeadline:
    """None of these servers ever lets the request end: only the deadline does."""

    def test_proxy_that_does_not_respond(self, transport: Transport, collector: FakeCollector) -> None:
        collector.script(c.Hang())

        outcome = send(transport, behind(collector.endpoint), 0.3)

        assert outcome == Failure(FailureKind.TIMED_OUT, "no response in time", Cause.LATE)

    def test_tunnel_that_is_never_opened(self, transport: Transport) -> None:
        ends = threading.Event()
        with tcp_server(lambda _: ends.wait()) as proxy:
            outcome = send(transport, behind(proxy, "https://nobody.invalid/"), 0.3)
            ends.set()

        assert outcome == Failure(FailureKind.TIMED_OUT, "no response in time", Cause.LATE)

    def test_no_time_left_at_all(self, transport: Transport, collector: FakeCollector) -> None:
        outcome = send(transport, behind(collector.endpoint), 0)

        assert outcome == Failure(FailureKind.UNREACHABLE, "no connection in time", Cause.LATE)
        assert collector.connections == 0


def test_errors_are_ours(collector: FakeCollector) -> None:
    collector.refuse()
    client = ProxiedClient(collector.endpoint, None, Resolver())
    sender = client.sender(behind(collector.endpoint))

    with raises(FailureKind.UNREACHABLE, match="Connection refused"):
        sender(b"", new_attempt())
