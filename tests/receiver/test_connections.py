"""The connections without the listener's thread: what they do with bytes, on one end of a socket pair."""

import _socket
import socket
from collections.abc import Callable, Iterator

import pytest

from telemetry_forwarder.receiver.connections import (
    MAX_BODY_BYTES,
    MAX_DISCARDED_BYTES,
    MAX_LINE_BYTES,
    HttpConnection,
    SubscribedPath,
    TcpConnection,
)
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body
from tests.support.fake_clock import FakeClock

PATH = "/a1b2"


def request(body: bytes, *, line: str = f"POST {PATH} HTTP/1.1", fields: str = "") -> bytes:
    return f"{line}\r\nHost: x\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Bench:
    """Both kinds of connections with what they need."""

    def __init__(self, inbox_bytes: int) -> None:
        self.inbox = Inbox(inbox_bytes)
        self.path = SubscribedPath(PATH)
        self.clock = FakeClock()
        self.client, other = socket.socketpair()
        self.client.settimeout(5)
        # The class behind `socket.socket`, which the listener uses.
        self.server = _socket.socket(fileno=other.detach())

    def http(self) -> HttpConnection:
        return HttpConnection(self.server, self.inbox, self.clock, self.path)

    def tcp(self) -> TcpConnection:
        return TcpConnection(self.server, self.inbox, self.clock, self.path)

    @property
    def bodies(self) -> list[bytes]:
        items = [item for item in self.inbox.take() if isinstance(item, Body)]
        assert {item.observed_ns for item in items} <= {self.clock.unix_ns()}
        return [item.content for item in items]

    def statuses(self) -> list[int]:
        """Close the connection, and return the status of each response."""
        self.server.close()
        received = b""
        while part := self.client.recv(65_536):
            received += part
        return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.fixture
def make() -> Iterator[Callable[[int], Bench]]:
    benches: list[Bench] = []

    def make(inbox_bytes: int) -> Bench:
        benches.append(Bench(inbox_bytes))
        return benches[-1]

    yield make
    for bench in benches:
        bench.server.close()
        bench.client.close()


@pytest.fixture
def bench(make: Callable[[int], Bench]) -> Bench:
    return make(2 * MAX_BODY_BYTES)


class TestSubscribedPath:
    def test_any_path_is_accepted_until_the_subscribed_one_was_used(self) -> None:
        path = SubscribedPath(PATH)

        before = (path.accepts("/"), path.is_used)
        used = (path.accepts(PATH), path.is_used)

        assert (before, used, path.accepts("/")) == ((True, False), (True, True), False)

    @pytest.mark.parametrize("target", [f"http://sandbox.localdomain:1{PATH}", f"{PATH}?a=b"])
    def test_target_may_be_absolute_or_have_a_query(self, target: str) -> None:
        path = SubscribedPath(PATH)
        path.accepts(PATH)

        assert path.accepts(target)

    def test_without_a_path_all_are_accepted(self) -> None:
        path = SubscribedPath("")
        path.accepts("/one")

        assert path.accepts("/other")


class TestHttp:
    def test_each_post_is_put_into_the_inbox_and_confirmed(self, bench: Bench) -> None:
        connection = bench.http()

        is_open = connection.receive(request(b"first") + request(b"second", line=f"PUT {PATH} HTTP/1.1"))

        assert is_open
        assert bench.bodies == [b"first", b"second"]
        assert bench.statuses() == [200, 200]

    def test_incomplete_post_is_held_until_its_rest_arrives(self, bench: Bench) -> None:
        connection = bench.http()
        content = request(b"x" * 1_000)

        connection.receive(content[:500])
        held = (connection.held_bytes > 0, bench.bodies)
        connection.receive(content[500:])

        assert held == (True, [])
        assert (connection.held_bytes, bench.bodies) == (0, [b"x" * 1_000])

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            (request(b"", line=f"GET {PATH} HTTP/1.1"), 405),
            (b"no HTTP\r\n\r\n", 400),
            (request(b"", fields="X: " + "x" * 100_000 + "\r\n"), 431),
            (f"POST {PATH} HTTP/1.1\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode(), 413),
        ],
    )
    def test_what_is_no_post_is_refused(self, bench: Bench, content: bytes, status: int) -> None:
        bench.http().receive(content)

        assert (bench.bodies, bench.statuses()) == ([], [status])

    def test_other_paths_are_refused_and_counted_once_lambda_has_posted(self, bench: Bench) -> None:
        connection = bench.http()

        connection.receive(request(b"1") + request(b"2", line="POST / HTTP/1.1"))

        assert (bench.bodies, bench.inbox.foreign_posts, bench.statuses()) == ([b"1"], 1, [200, 404])

    def test_full_inbox_refuses_for_now(self, make: Callable[[int], Bench]) -> None:
        bench = make(1_000)
        connection = bench.http()

        connection.receive(request(b"x" * 700) + request(b"y" * 700))

        assert (bench.bodies, bench.inbox.take_refusals(), bench.statuses()) == ([b"x" * 700], 1, [200, 503])

    def test_sender_is_told_to_continue(self, bench: Bench) -> None:
        content = request(b"body", fields="Expect: 100-continue\r\n")

        bench.http().receive(content[:-4])

        assert bench.statuses() == [100]

    @pytest.mark.parametrize(("fields", "is_open"), [("", True), ("Connection: close\r\n", False)])
    def test_sender_decides_if_the_connection_stays_open(self, bench: Bench, fields: str, *, is_open: bool) -> None:
        assert bench.http().receive(request(b"x", fields=fields)) is is_open

    def test_end_of_the_stream_closes_it(self, bench: Bench) -> None:
        assert not bench.http().receive(b"")

    def test_what_a_refused_sender_sends_is_discarded_up_to_a_limit(self, bench: Bench) -> None:
        connection = bench.http()
        connection.receive(b"no HTTP\r\n\r\n")

        is_open = [connection.receive(request(b"x")), connection.receive(bytes(MAX_DISCARDED_BYTES))]

        assert (is_open, bench.bodies, connection.held_bytes) == ([True, False], [], 0)

    def test_release_refuses_the_incomplete_post(self, bench: Bench) -> None:
        connection = bench.http()
        connection.receive(request(b"x" * 1_000)[:500])

        connection.release_partial()

        assert (connection.held_bytes, bench.inbox.take_refusals(), bench.statuses()) == (0, 1, [503])

    def test_release_of_a_broken_connection_does_not_raise(self, bench: Bench) -> None:
        connection = bench.http()
        connection.close()

        connection.release_partial()

        assert bench.inbox.take_refusals() == 1

    def test_only_telemetry_that_would_be_accepted_now_counts_as_delivered(self, bench: Bench) -> None:
        forged, of_lambda = bench.http(), bench.http()
        before = forged.has_delivered

        forged.receive(request(b"forged", line="POST / HTTP/1.1"))
        between = forged.has_delivered
        of_lambda.receive(request(b"true"))

        assert (before, between, forged.has_delivered, of_lambda.has_delivered) == (False, True, False, True)


class TestTcp:
    def test_complete_lines_are_put_into_the_inbox_and_the_rest_is_held(self, bench: Bench) -> None:
        connection = bench.tcp()

        before = connection.has_delivered
        is_open = connection.receive(b"one\ntwo\nthr")

        assert (before, is_open, connection.has_delivered, connection.held_bytes) == (False, True, True, 3)
        assert bench.bodies == [b"one\ntwo\n"]
        connection.receive(b"ee\n")
        assert (bench.bodies, connection.held_bytes) == ([b"three\n"], 0)

    def test_end_of_the_stream_ends_the_last_line(self, bench: Bench) -> None:
        connection = bench.tcp()

        connection.receive(b"last")

        assert not connection.receive(b"")
        assert (bench.bodies, connection.has_delivered) == ([b"last"], False)

    def test_line_over_the_limit_is_divided(self, bench: Bench) -> None:
        connection = bench.tcp()

        connection.receive(b"x" * MAX_LINE_BYTES)
        before = bench.bodies
        connection.receive(b"y")

        assert (before, connection.held_bytes) == ([], 0)
        assert bench.bodies == [b"x" * MAX_LINE_BYTES + b"y"]

    @pytest.mark.parametrize("end", [TcpConnection.release_partial, TcpConnection.close])
    def test_incomplete_line_is_kept_when_the_connection_is_released_or_closed(self, bench: Bench, end: object) -> None:
        connection = bench.tcp()
        connection.receive(b"incomplete")

        assert callable(end)
        end(connection)

        assert (bench.bodies, connection.held_bytes) == ([b"incomplete"], 0)

    def test_nothing_is_put_into_the_inbox_for_an_empty_line(self, bench: Bench) -> None:
        bench.tcp().release_partial()

        assert bench.bodies == []
