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
from telemetry_forwarder.transport.attempt import Attempt, BrokenError
from telemetry_forwarder.transport.http_client import HttpClient
from telemetry_forwarder.transport.outcome import Response
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MOST_IDLE, Network
from tests.support.collector import FakeCollector
from tests.support.fake_clock import FakeClock
from tests.support.paths import PROJECT

ROOT = PROJECT


@pytest.fixture
def door() -> Iterator[HttpClient]:
    door = HttpClient(None, Network())
    yield door
    door.close()


def soon() -> Attempt:
    return Attempt(Deadline.after(5, Clock()), Deadline.left_s)


def test_connection_is_kept_for_whatever_goes_to_the_same_host(
    door: HttpClient, collector: FakeCollector
) -> None:
    first, second = soon(), soon()

    door.way(f"{collector.endpoint}/v1/logs", []).exchange(b"", first)
    door.way(f"{collector.endpoint}/v1/traces?a=b", []).exchange(b"", second)

    assert (first.is_pooled, second.is_pooled) == (False, True)
    assert collector.connections == 1
    assert [request.path for request in collector.requests] == ["/v1/logs", "/v1/traces?a=b"]


def test_connection_that_the_server_has_closed_is_not_used(
    door: HttpClient, collector: FakeCollector
) -> None:
    way = door.way(f"{collector.endpoint}/v1/logs", [])
    way.exchange(b"", soon())
    collector.drop_connections()
    attempt = soon()

    way.exchange(b"", attempt)

    assert not attempt.is_pooled


def test_connection_to_another_port_is_another(door: HttpClient, collector: FakeCollector) -> None:
    with FakeCollector() as other:
        door.way(f"{collector.endpoint}/v1/logs", []).exchange(b"", soon())
        attempt = soon()
        door.way(f"{other.endpoint}/v1/logs", []).exchange(b"", attempt)

    assert not attempt.is_pooled


def test_connection_that_has_been_idle_for_too_long_is_not_used(
    collector: FakeCollector,
) -> None:
    clock = FakeClock()
    door = HttpClient(None, Network(), clock)
    way = door.way(f"{collector.endpoint}/v1/logs", [])
    connections = []

    for idle_s in (0.0, KEEP_ALIVE_S - 1, KEEP_ALIVE_S):
        clock.advance(idle_s)
        way.exchange(b"", soon())
        connections.append(collector.connections)

    door.close()
    assert connections == [1, 1, 2]


def test_no_more_are_kept_than_there_are_signals(door: HttpClient, collector: FakeCollector) -> None:
    to = ("127.0.0.1", collector.port)
    streams = [door.taken(to, soon()) for _ in range(MOST_IDLE + 2)]

    for stream in streams:
        door.leave(to, stream)

    assert [stream.is_usable for stream in streams] == [False] * 2 + [True] * MOST_IDLE
    door.close()
    assert not any(stream.is_usable for stream in streams)


def test_after_closing_it_still_sends(door: HttpClient, collector: FakeCollector) -> None:
    way = door.way(f"{collector.endpoint}/v1/logs", [])
    answers = [way.exchange(b"", soon())]
    door.close()

    answers.append(way.exchange(b"", soon()))

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


def test_request_is_written_as_http_says(door: HttpClient) -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (url, received):
        door.way(url, [(b"host", b"h"), (b"x-name", b"v")]).exchange(b"body", soon())

    assert received == b"POST / HTTP/1.1\r\nhost: h\r\nx-name: v\r\ncontent-length: 4\r\n\r\nbody"


def test_answer_that_is_announced_is_waited_for(door: HttpClient) -> None:
    told = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 3\r\nX: y\r\nContent-Length: 2\r\n\r\nno"
    with answering(told) as (url, _):
        answer = door.way(url, []).exchange(b"", soon())

    assert answer == Response(429, {"retry-after": "3"}, b"no")


@pytest.mark.parametrize("header", [(b"x", b"a\r\nb: c"), (b"x\n", b"a"), (b"x", b"a\0")])
def test_header_cannot_become_two(
    door: HttpClient, collector: FakeCollector, header: tuple[bytes, bytes]
) -> None:
    way = door.way(f"{collector.endpoint}/v1/logs", [header])

    with pytest.raises(BrokenError, match=r"^the request is not HTTP$"):
        way.exchange(b"", soon())

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
