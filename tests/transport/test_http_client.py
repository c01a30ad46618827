"""Which connection a request goes over, and what it saves not to ask httpx. The transport's tests test all else."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.attempt import Attempt, BrokenError
from telemetry_forwarder.transport.http_client import HttpClient, HttpSender
from telemetry_forwarder.transport.outcome import Response
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MAX_IDLE, Network
from tests.support.collector import FakeCollector
from tests.support.fake_clock import FakeClock
from tests.support.paths import PROJECT

ROOT = PROJECT


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(None, Network())
    yield client
    client.close()


def soon() -> Attempt:
    return Attempt(Deadline.after(5, Clock()), Deadline.left_s)


def sender(client: HttpClient, url: str, headers: dict[str, str] | None = None) -> HttpSender:
    return client.sender(Endpoint(LOGS, url, headers or {}, compression="none"), "test/1")


def test_connection_is_kept_for_whatever_goes_to_the_same_host(
    client: HttpClient, collector: FakeCollector
) -> None:
    first, second = soon(), soon()

    sender(client, f"{collector.endpoint}/v1/logs").send(b"", first)
    sender(client, f"{collector.endpoint}/v1/traces?a=b").send(b"", second)

    assert (first.is_pooled, second.is_pooled) == (False, True)
    assert collector.connections == 1
    assert [request.path for request in collector.requests] == ["/v1/logs", "/v1/traces?a=b"]


def test_connection_that_the_server_has_closed_is_not_used(
    client: HttpClient, collector: FakeCollector
) -> None:
    to_logs = sender(client, f"{collector.endpoint}/v1/logs")
    to_logs.send(b"", soon())
    collector.drop_connections()
    attempt = soon()

    to_logs.send(b"", attempt)

    assert not attempt.is_pooled


def test_connection_to_another_port_is_another(client: HttpClient, collector: FakeCollector) -> None:
    with FakeCollector() as other:
        sender(client, f"{collector.endpoint}/v1/logs").send(b"", soon())
        attempt = soon()
        sender(client, f"{other.endpoint}/v1/logs").send(b"", attempt)

    assert not attempt.is_pooled


def test_connection_that_has_been_idle_for_too_long_is_not_used(
    collector: FakeCollector,
) -> None:
    clock = FakeClock()
    client = HttpClient(None, Network(), clock)
    to_logs = sender(client, f"{collector.endpoint}/v1/logs")
    connections = []

    for idle_s in (0.0, KEEP_ALIVE_S - 1, KEEP_ALIVE_S):
        clock.advance(idle_s)
        to_logs.send(b"", soon())
        connections.append(collector.connections)

    client.close()
    assert connections == [1, 1, 2]


def test_no_more_are_kept_than_there_are_signals(client: HttpClient, collector: FakeCollector) -> None:
    to = ("127.0.0.1", collector.port)
    streams = [client.connection(to, soon()) for _ in range(MAX_IDLE + 2)]

    for stream in streams:
        client.keep(to, stream)

    assert [stream.is_usable for stream in streams] == [False] * 2 + [True] * MAX_IDLE
    client.close()
    assert not any(stream.is_usable for stream in streams)


def test_after_closing_it_still_sends(client: HttpClient, collector: FakeCollector) -> None:
    to_logs = sender(client, f"{collector.endpoint}/v1/logs")
    answers = [to_logs.send(b"", soon())]
    client.close()

    answers.append(to_logs.send(b"", soon()))

    assert answers[0] == answers[1]
    assert collector.connections == 2


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, bytearray]]:
    """A server that says *answer* to one request; its URL, and what it has received."""
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    received.extend(connection.recv(65_536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", received
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_request_is_written_as_http_says(client: HttpClient) -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (url, received):
        sender(client, url, {"host": "h", "x-name": "v"}).send(b"body", soon())

    assert received == (
        b"POST / HTTP/1.1\r\nhost: h\r\nuser-agent: test/1\r\ncontent-type: application/x-protobuf\r\n"
        b"x-name: v\r\ncontent-length: 4\r\n\r\nbody"
    )


def test_answer_that_is_announced_is_waited_for(client: HttpClient) -> None:
    told = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 3\r\nX: y\r\nContent-Length: 2\r\n\r\nno"
    with answering(told) as (url, _):
        answer = sender(client, url).send(b"", soon())

    assert answer == Response(429, {"retry-after": "3"}, b"no")


@pytest.mark.parametrize("header", [("x", "a\r\nb: c"), ("x\n", "a"), ("x", "a\0")])
def test_header_cannot_become_two(
    client: HttpClient, collector: FakeCollector, header: tuple[str, str]
) -> None:
    to_logs = sender(client, f"{collector.endpoint}/v1/logs", dict([header]))

    with pytest.raises(BrokenError, match=r"^the request is not HTTP$"):
        to_logs.send(b"", soon())

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


def test_httpx_is_imported_for_proxies_alone_and_it_pays_not_to() -> None:
    """Should it ever be light, it is to do this as well."""
    command = [sys.executable, "-c", MODULES, str(ROOT), *HTTPX]
    said: Any = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    ).stdout.split()

    assert said[:-1] == []
    assert int(said[-1]) > 60
