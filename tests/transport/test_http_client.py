"""Which connection a request uses, and why httpx is not used; tests of the transport cover the rest."""

import io
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.client import Sender
from telemetry_forwarder.transport.http_client import HttpClient, IdleConnections
from telemetry_forwarder.transport.outcome import FailureKind, Response
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MAX_IDLE
from tests.support.collector import FakeCollector
from tests.support.fake_clock import FakeClock
from tests.support.paths import PROJECT
from tests.support.requests import new_attempt, raises
from tests.support.tcp_server import responds, tcp_server


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(None, Resolver())
    yield client
    client.close()


def sender(client: HttpClient, url: str, headers: dict[str, str] | None = None) -> Sender:
    return client.sender(Endpoint(LOGS, url, headers or {}, compression="none"))


def test_endpoints_on_the_same_host_share_a_connection(client: HttpClient, collector: FakeCollector) -> None:
    first, second = new_attempt(), new_attempt()

    sender(client, f"{collector.endpoint}/v1/logs")(b"", first)
    sender(client, f"{collector.endpoint}/v1/traces?a=b")(b"", second)

    assert (first.has_new_connection, second.has_new_connection) == (True, False)
    assert collector.connections == 1
    assert [request.path for request in collector.requests] == ["/v1/logs", "/v1/traces?a=b"]


def test_connection_that_the_server_has_closed_is_not_used(client: HttpClient, collector: FakeCollector) -> None:
    to_logs = sender(client, f"{collector.endpoint}/v1/logs")
    to_logs(b"", new_attempt())
    collector.drop_connections()
    attempt = new_attempt()

    to_logs(b"", attempt)

    assert attempt.has_new_connection


def test_connection_to_another_port_is_not_used(client: HttpClient, collector: FakeCollector) -> None:
    attempt = new_attempt()
    with FakeCollector() as other:
        sender(client, f"{collector.endpoint}/v1/logs")(b"", new_attempt())
        sender(client, f"{other.endpoint}/v1/logs")(b"", attempt)

    assert attempt.has_new_connection


def test_connection_that_was_idle_for_too_long_is_not_used(collector: FakeCollector) -> None:
    clock = FakeClock()
    client = HttpClient(None, Resolver(), clock)
    to_logs = sender(client, f"{collector.endpoint}/v1/logs")
    connections = []

    for idle_s in (0.0, KEEP_ALIVE_S - 1, KEEP_ALIVE_S):
        clock.advance(idle_s)
        to_logs(b"", new_attempt())
        connections.append(collector.connections)

    client.close()
    assert connections == [1, 1, 2]


def test_the_oldest_of_too_many_idle_connections_is_closed() -> None:
    server = ("h", 1)
    idle: IdleConnections[io.BytesIO] = IdleConnections(FakeClock())
    connections = [io.BytesIO() for _ in range(MAX_IDLE + 2)]

    for connection in connections:
        idle.keep(server, connection)

    assert [connection.closed for connection in connections] == [True] * 2 + [False] * MAX_IDLE
    assert idle.take(server) is connections[-1]
    idle.close()
    assert [connection.closed for connection in connections] == [True] * (MAX_IDLE + 1) + [False]


def test_request_after_close_opens_a_new_connection(client: HttpClient, collector: FakeCollector) -> None:
    to_logs = sender(client, f"{collector.endpoint}/v1/logs")
    responses = [to_logs(b"", new_attempt())]
    client.close()

    responses.append(to_logs(b"", new_attempt()))

    assert responses[0] == responses[1]
    assert collector.connections == 2


def test_request_is_http(client: HttpClient) -> None:
    received = bytearray()

    def serve(connection: socket.socket) -> None:
        received.extend(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with tcp_server(serve) as url:
        sender(client, url, {"host": "h", "user-agent": "mine/1", "x-name": "v"})(b"body", new_attempt())

    assert received == (
        b"POST / HTTP/1.1\r\nhost: h\r\nuser-agent: mine/1\r\ncontent-type: application/x-protobuf\r\n"
        b"x-name: v\r\ncontent-length: 4\r\n\r\nbody"
    )


def test_interim_responses_are_skipped(client: HttpClient) -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 3\r\nX: y\r\nContent-Length: 2\r\n\r\nno"
    with tcp_server(responds(data)) as url:
        response = sender(client, url)(b"", new_attempt())

    assert response == Response(429, {"retry-after": "3"}, b"no")


@pytest.mark.parametrize("header", [("x", "a\r\nb: c"), ("x\n", "a"), ("x", "a\0")])
def test_header_cannot_become_two(client: HttpClient, collector: FakeCollector, header: tuple[str, str]) -> None:
    to_logs = sender(client, f"{collector.endpoint}/v1/logs", dict([header]))

    with raises(FailureKind.BROKEN, match=r"^the request is not HTTP$"):
        to_logs(b"", new_attempt())

    assert collector.connections == 0


HTTPX = ("httpx", "httpcore", "h11", "email", "http")
MODULES = """
import sys
sys.path.insert(0, sys.argv[1])
import telemetry_forwarder.worker.wiring
before = set(sys.modules)
heavy = sorted(before & set(sys.argv[2:]))
import telemetry_forwarder.transport.proxied
print(*heavy, len(set(sys.modules) - before))
"""


def test_httpx_is_imported_only_for_proxies_and_is_expensive() -> None:
    """If it ever becomes cheap to import, it should replace this client."""
    command = [sys.executable, "-c", MODULES, str(PROJECT), *HTTPX]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.split()

    assert output[:-1] == []
    assert int(output[-1]) > 60
