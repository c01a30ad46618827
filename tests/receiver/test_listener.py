import os
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry_forwarder.receiver.connections import MAX_BODY_BYTES, MAX_DISCARDED_BYTES, MAX_LINE_BYTES
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.listener import MAX_CONNECTIONS, MAX_HELD_BYTES, Listener
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.session import open_port
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.inboxes import wait_and_take

OBSERVED_NS = 1_790_000_000_000_000_000


class Running:
    """A listener with an inbox, and clients that are closed at the end."""

    def __init__(self, protocol: str, inbox_bytes: int, send_buffer_bytes: int, path: str) -> None:
        self.inbox = Inbox(inbox_bytes)
        with CapturedLog() as captured:
            server = open_port(0, captured.diagnostics(FakeClock()))
        if send_buffer_bytes:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self.address = ("127.0.0.1", server.getsockname()[1])
        self._listener = Listener(protocol, server, self.inbox, FakeClock(unix_ns=OBSERVED_NS), path=path)
        others = set(threading.enumerate())
        self._listener.start()
        (self.thread,) = set(threading.enumerate()) - others
        self._clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.address, timeout=10)
        self._clients.append(client)
        return client

    def bodies(self, count: int = 1) -> list[bytes]:
        """Take at least *count* bodies from the inbox."""
        taken: list[bytes] = []
        while len(taken) < count:
            items = wait_and_take(self.inbox, 10.0)
            assert items, f"only {taken}"
            for item in items:
                assert isinstance(item, Body)
                assert item.observed_ns == OBSERVED_NS
                taken.append(item.content)
        return taken

    def close_listener(self) -> None:
        self._listener.close()

    def close(self) -> None:
        self._listener.close()
        for client in self._clients:
            client.close()


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Running] = []

    def start(protocol: str, inbox_bytes: int = 16_777_216, send_buffer_bytes: int = 0, path: str = "") -> Running:
        running.append(Running(protocol, inbox_bytes, send_buffer_bytes, path))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture
def http(start: Start) -> Running:
    return start("http")


@pytest.fixture
def tcp(start: Start) -> Running:
    return start("tcp")


def post(body: bytes, *fields: str, line: str = "POST / HTTP/1.1") -> bytes:
    head = "\r\n".join([line, *fields, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


def response(client: socket.socket) -> bytes:
    """Read one response; no response has a body."""
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        part = client.recv(1)
        if not part:
            break
        received += part
    return received


def status(client: socket.socket) -> int:
    return int(response(client).split()[1])


def until_closed(client: socket.socket) -> bytes:
    received = b""
    while part := client.recv(65_536):
        received += part
    return received


def send_repeatedly(client: socket.socket, part: bytes, times: int) -> None:
    for _ in range(times):
        client.sendall(part)


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2;x=y\r\n2]\r\n0\r\n\r\n"


@pytest.mark.parametrize("line", ["POST / HTTP/1.1", "PUT / HTTP/1.1", "POST /any/path?at=all HTTP/1.1"])
def test_body_is_put_into_the_inbox_and_confirmed(http: Running, line: str) -> None:
    client = http.connect()

    client.sendall(post(b"[1]", "Host: sandbox.localdomain", line=line))

    assert response(client) == OK
    assert http.bodies() == [b"[1]"]


def test_body_is_not_changed(http: Running) -> None:
    client = http.connect()
    anything = bytes(range(256))

    client.sendall(post(anything))

    assert http.bodies() == [anything]


def test_connection_is_reused_for_many_posts(http: Running) -> None:
    client = http.connect()

    statuses = []
    for number in range(5):
        client.sendall(post(b"%d" % number))
        statuses.append(status(client))
    client.sendall(CHUNKED)

    assert [*statuses, status(client)] == [200] * 6
    assert http.bodies(6) == [b"0", b"1", b"2", b"3", b"4", b"[1,2]"]


def test_pipelined_posts_are_responded_to_in_order(http: Running) -> None:
    client = http.connect()

    client.sendall(post(b"1") + CHUNKED + post(b"", line="GET / HTTP/1.1") + post(b"3"))

    assert [status(client) for _ in range(4)] == [200, 200, 405, 200]
    assert http.bodies(3) == [b"1", b"[1,2]", b"3"]


def test_post_that_arrives_byte_by_byte_is_received(http: Running) -> None:
    client = http.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for byte in CHUNKED:
        client.sendall(bytes([byte]))

    assert response(client) == OK
    assert http.bodies() == [b"[1,2]"]


def test_slow_senders_do_not_delay_others(http: Running) -> None:
    slow = [http.connect() for _ in range(5)]
    for client in slow:
        client.sendall(post(b"slow")[:-2])
    fast = http.connect()

    fast.sendall(post(b"fast"))
    assert status(fast) == 200
    assert http.bodies() == [b"fast"]

    for client in slow:
        client.sendall(b"ow")
    assert [status(client) for client in slow] == [200] * 5
    assert http.bodies(5) == [b"slow"] * 5


def test_body_at_the_limit_is_received(http: Running) -> None:
    client = http.connect()
    body = os.urandom(1_024) * (MAX_BODY_BYTES // 1_024)

    client.sendall(post(body))

    assert status(client) == 200
    assert http.bodies() == [body]


TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def test_sender_of_a_body_over_the_limit_can_read_the_refusal(http: Running) -> None:
    client = http.connect()

    # The whole request is written before the response is read, as many clients do.
    client.sendall(post(b"x" * (MAX_BODY_BYTES + 1)))
    client.shutdown(socket.SHUT_WR)

    assert until_closed(client) == TOO_LARGE


def test_chunks_over_the_limit_are_refused(http: Running) -> None:
    client = http.connect()
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b"x" * 0x10_0000 + b"\r\n"

    client.sendall(head + chunk * 5)
    client.shutdown(socket.SHUT_WR)

    assert until_closed(client) == TOO_LARGE


def test_refused_sender_that_does_not_stop_is_disconnected(http: Running) -> None:
    client = http.connect()
    client.sendall(b"garbage\r\n")

    with pytest.raises(ConnectionError):
        send_repeatedly(client, bytes(1_048_576), MAX_DISCARDED_BYTES // 1_048_576 + 64)


def test_expect_100_continue_is_confirmed_before_the_body_is_sent(http: Running) -> None:
    client = http.connect()
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    for _ in range(2):
        client.sendall(head)
        assert response(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert response(client) == OK

    client.sendall(head + b"hello")
    assert response(client) == OK
    assert http.bodies(3) == [b"hello"] * 3


def test_expect_100_continue_for_a_body_over_the_limit_is_refused(http: Running) -> None:
    client = http.connect()

    client.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")

    assert response(client) == TOO_LARGE


def test_full_inbox_refuses_until_there_is_room(start: Start) -> None:
    http = start("http", inbox_bytes=2_000)
    client = http.connect()

    client.sendall(post(b"x" * 1_500))
    assert response(client) == OK
    client.sendall(post(b"y" * 1_500))
    assert response(client) == (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
    assert http.bodies() == [b"x" * 1_500]
    client.sendall(post(b"y" * 1_500))

    assert response(client) == OK
    assert http.bodies() == [b"y" * 1_500]
    assert http.inbox.take_refusals() == 1


def test_incomplete_posts_beyond_the_bound_are_refused(start: Start) -> None:
    http = start("http", inbox_bytes=2 * MAX_HELD_BYTES)
    clients = [http.connect() for _ in range(MAX_HELD_BYTES // MAX_BODY_BYTES + 1)]

    for client in clients:
        client.sendall(post(b"x" * MAX_BODY_BYTES)[:-1])
    [refused] = select.select(clients, [], [], 10)[0]
    others = [client for client in clients if client is not refused]
    for client in others:
        client.sendall(b"x")

    assert until_closed(refused) == BUSY
    assert [response(client) for client in others] == [OK] * len(others)
    assert http.inbox.take_refusals() == 1


def test_posts_that_never_end_do_not_lock_out_others(start: Start) -> None:
    http = start("http", inbox_bytes=2 * MAX_HELD_BYTES)
    stuck = [http.connect() for _ in range(MAX_HELD_BYTES // MAX_BODY_BYTES)]
    for client in stuck:
        client.sendall(post(b"x" * MAX_BODY_BYTES)[:-1])
    other = http.connect()

    while not (refused := select.select(stuck, [], [], 0)[0]):
        # Larger than one read, so that a part of it is held.
        other.sendall(post(b"y" * 300_000))
        assert response(other) == OK
        http.bodies()

    assert [until_closed(client) for client in refused] == [BUSY]


@pytest.mark.parametrize("method", ["GET", "DELETE", "post"])
def test_other_method_is_refused_and_the_connection_kept(http: Running, method: str) -> None:
    client = http.connect()

    client.sendall(post(b"x", line=f"{method} / HTTP/1.1"))
    refusal = response(client)
    client.sendall(post(b"1"))

    assert refusal == (b"HTTP/1.1 405 Method Not Allowed\r\nAllow: POST, PUT\r\nContent-Length: 0\r\n\r\n")
    assert response(client) == OK
    assert http.bodies() == [b"1"]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(bytes.fromhex("16030100f4010000f00303") + bytes(200), id="tls-hello"),
        pytest.param(b"hello\n", id="line"),
        pytest.param(b'[{"time":"2026-01-01T00:00:00.000Z"}]\n', id="json"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2"),
        pytest.param(b"\0" * 100, id="nul"),
    ],
)
def test_garbage_is_refused_and_closed_at_once(http: Running, garbage: bytes) -> None:
    client = http.connect()

    client.sendall(garbage)

    assert until_closed(client) == (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def test_post_before_garbage_is_received(http: Running) -> None:
    client = http.connect()

    client.sendall(post(b"1") + b"\0")

    assert [status(client), status(client)] == [200, 400]
    assert http.bodies() == [b"1"]


@pytest.mark.parametrize(
    "request_", [post(b"1", "Connection: close"), post(b"1", line="POST / HTTP/1.0")], ids=["close", "http-1.0"]
)
def test_connection_that_is_not_kept_alive_is_closed_after_the_response(http: Running, request_: bytes) -> None:
    client = http.connect()

    client.sendall(request_)

    assert until_closed(client) == OK


def test_half_closed_connection_gets_its_response(http: Running) -> None:
    client = http.connect()

    client.sendall(post(b"1"))
    client.shutdown(socket.SHUT_WR)

    assert until_closed(client) == OK


@pytest.mark.parametrize("part", [b"", b"POST", post(b"1")[:-1]])
def test_connection_reset_affects_only_its_own_post(http: Running, part: bytes) -> None:
    leaver, other = http.connect(), http.connect()

    leaver.sendall(part)
    # A reset instead of an orderly close.
    leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    leaver.close()
    other.sendall(post(b"2"))

    assert status(other) == 200
    assert http.bodies() == [b"2"]


def test_sender_that_does_not_read_is_disconnected_and_others_served(start: Start) -> None:
    http = start("http", send_buffer_bytes=4_096)
    unread, other = http.connect(), http.connect()
    unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    requests = post(b"", line="GET / HTTP/1.1") * 2_000

    with pytest.raises(ConnectionError):
        send_repeatedly(unread, requests, 1_000)

    other.sendall(post(b"1"))
    assert status(other) == 200


def test_many_connections_are_served_concurrently(http: Running) -> None:
    clients = [http.connect() for _ in range(MAX_CONNECTIONS)]

    for number, client in enumerate(clients):
        client.sendall(post(b"%d" % number))

    assert [status(client) for client in clients] == [200] * MAX_CONNECTIONS
    assert sorted(map(int, http.bodies(MAX_CONNECTIONS))) == list(range(MAX_CONNECTIONS))


def idle(client: socket.socket) -> None:
    """Send nothing."""


def send_half_a_post(client: socket.socket) -> None:
    client.sendall(post(b"half")[:-1])


def send_one_byte(client: socket.socket) -> None:
    client.sendall(b"P")


def send_garbage(client: socket.socket) -> None:
    client.sendall(b"garbage\r\n")
    assert status(client) == 400


def get(client: socket.socket) -> None:
    client.sendall(post(b"", line="GET / HTTP/1.1"))
    assert status(client) == 405


@pytest.mark.parametrize("act", [idle, send_half_a_post, send_one_byte, send_garbage, get])
def test_connections_without_telemetry_do_not_lock_lambda_out(
    http: Running, act: Callable[[socket.socket], None]
) -> None:
    of_lambda = http.connect()
    of_lambda.sendall(post(b"first"))
    assert status(of_lambda) == 200

    for _ in range(8 * MAX_CONNECTIONS if act is idle else 2 * MAX_CONNECTIONS):
        act(http.connect())

    # The connection that has delivered is kept, and a new one is served.
    of_lambda.sendall(post(b"second"))
    assert status(of_lambda) == 200
    another = http.connect()
    another.sendall(post(b"third"))
    assert status(another) == 200
    assert http.bodies(3) == [b"first", b"second", b"third"]


def test_connection_that_is_idle_for_longest_gives_way_to_a_new_one(http: Running) -> None:
    clients = [http.connect() for _ in range(MAX_CONNECTIONS)]
    for client in clients:
        get(client)
    get(clients[0])

    get(http.connect())

    assert until_closed(clients[1]) == b""
    get(clients[0])
    get(clients[2])


def test_senders_of_a_byte_now_and_then_do_not_lock_lambda_out(http: Running) -> None:
    slow = [http.connect() for _ in range(MAX_CONNECTIONS)]
    head = post(b"")

    for count in range(3):
        for client in slow[count:]:
            client.sendall(head[count : count + 1])
        other = http.connect()
        other.sendall(post(b"1"))
        assert status(other) == 200
    # Each took the place of the connection that had been silent for longest.
    assert all(until_reset(client) for client in slow[:3])


def until_reset(client: socket.socket) -> bool:
    """Return whether the other side has closed or reset the connection."""
    try:
        return until_closed(client) == b""
    except ConnectionResetError:
        return True


def test_connections_with_forged_telemetry_give_way_before_that_of_lambda(start: Start) -> None:
    http = start("http", path="/secret")
    forgers = [http.connect() for _ in range(MAX_CONNECTIONS)]
    for client in forgers:
        client.sendall(post(b"forged"))
        assert status(client) == 200
    of_lambda = http.connect()
    of_lambda.sendall(post(b"1", line="POST /secret HTTP/1.1"))
    assert status(of_lambda) == 200

    for _ in range(MAX_CONNECTIONS):
        client = http.connect()
        client.sendall(post(b"forged"))
        assert status(client) == 404

    of_lambda.sendall(post(b"2", line="POST /secret HTTP/1.1"))
    assert status(of_lambda) == 200


def test_incomplete_post_of_lambda_is_kept_if_others_fill_the_memory(start: Start) -> None:
    http = start("http", inbox_bytes=2 * MAX_HELD_BYTES)
    of_lambda = http.connect()
    of_lambda.sendall(post(b"1"))
    assert status(of_lambda) == 200
    of_lambda.sendall(post(b"x" * 300_000)[:-1])

    stuck = [http.connect() for _ in range(MAX_HELD_BYTES // MAX_BODY_BYTES + 1)]
    for client in stuck:
        client.sendall(post(b"y" * MAX_BODY_BYTES)[:-1])
    assert select.select(stuck, [], [], 10)[0]
    of_lambda.sendall(b"x")

    assert status(of_lambda) == 200


TARGETS = ["/secret", "/secret/", "/secret?a=b", "http://sandbox.localdomain:4243/secret", "//secret"]


@pytest.mark.parametrize("target", TARGETS)
def test_after_a_post_to_the_subscribed_path_others_are_refused_and_counted(start: Start, target: str) -> None:
    http = start("http", path="/secret")
    client = http.connect()

    statuses = []
    for number, line in enumerate(("/", "/other", target, "/", "/secre", "*", target)):
        client.sendall(post(b"%d" % number, line=f"POST {line} HTTP/1.1"))
        statuses.append(status(client))

    assert statuses == [200, 200, 200, 404, 404, 404, 200]
    assert http.bodies(4) == [b"0", b"1", b"2", b"6"]
    assert (http.inbox.foreign_posts, http.inbox.take_refusals()) == (3, 0)


def test_any_path_is_accepted_if_lambda_drops_that_of_the_subscription(start: Start) -> None:
    http = start("http", path="/secret")
    client = http.connect()

    for line in ("/", "/secre", "/other", "*") * 20:
        client.sendall(post(b"1", line=f"POST {line} HTTP/1.1"))
        assert status(client) == 200


def test_path_counts_as_used_although_the_inbox_had_no_room(start: Start) -> None:
    http = start("http", inbox_bytes=1_000, path="/secret")
    client = http.connect()

    client.sendall(post(b"x" * 900))
    client.sendall(post(b"x" * 900, line="PUT /secret HTTP/1.1"))
    client.sendall(post(b"x" * 900))

    assert [status(client) for _ in range(3)] == [200, 503, 404]


def test_idle_tcp_connections_do_not_lock_lambda_out_and_incomplete_lines_are_kept(tcp: Running) -> None:
    of_lambda = tcp.connect()
    of_lambda.sendall(b"first\n")
    assert tcp.bodies() == [b"first\n"]
    cut = tcp.connect()
    cut.sendall(b"cut")

    clients = [tcp.connect() for _ in range(MAX_CONNECTIONS)]

    assert tcp.bodies() == [b"cut"]
    of_lambda.sendall(b"second\n")
    assert tcp.bodies() == [b"second\n"]
    clients[-1].sendall(b"third\n")
    assert tcp.bodies() == [b"third\n"]


def test_idle_connections_give_way_if_no_descriptor_is_free(http: Running) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    of_lambda = http.connect()
    of_lambda.sendall(post(b"1"))
    assert status(of_lambda) == 200
    idle_one = http.connect()
    get(idle_one)
    client = socket.socket()
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        client.connect(http.address)
        client.settimeout(10)
        client.sendall(post(b"2"))
        assert status(client) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.close()

    assert until_closed(idle_one) == b""
    of_lambda.sendall(post(b"3"))
    assert status(of_lambda) == 200


def test_connection_waits_while_no_descriptor_is_free(http: Running) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = socket.socket()
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        client.connect(http.address)
        client.sendall(post(b"1"))
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    client.settimeout(10)
    assert status(client) == 200
    client.close()


class ShortOfMemory(socket.socket):
    """A server for which memory is short when its first connection arrives."""

    calls = 0

    def fileno(self) -> int:
        self.calls += 1
        # The first call registers it.
        if self.calls == 2:
            raise MemoryError
        return super().fileno()


def test_listener_goes_on_after_a_shortage_of_memory() -> None:
    server = ShortOfMemory(fileno=socket.create_server(("127.0.0.1", 0)).detach())
    address, inbox = server.getsockname(), Inbox(1_000_000)
    listener = Listener("http", server, inbox, FakeClock())
    listener.start()

    with socket.create_connection(address, timeout=10) as client:
        client.sendall(post(b"1"))

        assert status(client) == 200
    inbox.close()
    listener.close()


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_idle_listener_does_not_wake(start: Start, protocol: str) -> None:
    running = start(protocol)
    client = running.connect()
    client.sendall(post(b"1") if protocol == "http" else b"1\n")
    running.bodies()
    # On a busy machine it takes a while until the thread has reached `poll` again.
    before = activity_after(0.02, running.thread)
    while before != (before := activity_after(0.02, running.thread)) or "State:\tS (sleeping)" not in before:
        pass

    assert activity_after(0.05, running.thread) == before


def activity_after(seconds: float, thread: threading.Thread) -> list[str]:
    """Return the kernel's state of *thread* and the counts of its context switches."""
    threading.Event().wait(seconds)
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return [line for line in status.splitlines() if line.startswith("State") or "ctxt_switches" in line]


def test_lines_are_put_into_the_inbox_whole(tcp: Running) -> None:
    client = tcp.connect()

    client.sendall(b'{"a":1}\n{"b":')
    assert tcp.bodies() == [b'{"a":1}\n']
    client.sendall(b"2}")
    client.sendall(b"\n\n")

    assert b"".join(tcp.bodies()) in (b'{"b":2}\n\n', b'{"b":2}\n')


def test_lines_that_arrive_byte_by_byte_are_put_into_the_inbox_whole(tcp: Running) -> None:
    client = tcp.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for byte in b'{"a":1}\n{"b":2}\n':
        client.sendall(bytes([byte]))

    bodies = tcp.bodies()
    while b"".join(bodies) != b'{"a":1}\n{"b":2}\n':
        bodies += tcp.bodies()
    assert all(body.endswith(b"\n") for body in bodies)


@pytest.mark.parametrize("last", [b"without an end", b"with one\n"])
def test_last_line_is_received_with_or_without_a_line_end(tcp: Running, last: bytes) -> None:
    client = tcp.connect()

    client.sendall(last)
    client.shutdown(socket.SHUT_WR)

    assert until_closed(client) == b""
    assert tcp.bodies() == [last]


def test_lines_of_two_connections_do_not_mix(tcp: Running) -> None:
    first, second = tcp.connect(), tcp.connect()

    first.sendall(b"first ")
    second.sendall(b"second\n")
    assert tcp.bodies() == [b"second\n"]
    first.sendall(b"line\n")

    assert tcp.bodies() == [b"first line\n"]


def test_line_longer_than_the_limit_is_split(tcp: Running) -> None:
    client = tcp.connect()
    line = b"x" * (MAX_LINE_BYTES * 2) + b"\n"

    client.sendall(line)

    bodies = tcp.bodies(2)
    while not bodies[-1].endswith(b"\n"):
        bodies += tcp.bodies()
    assert b"".join(bodies) == line


def test_incomplete_lines_beyond_the_bound_are_put_into_the_inbox_in_parts(start: Start) -> None:
    tcp = start("tcp", inbox_bytes=2 * MAX_HELD_BYTES)
    size = MAX_LINE_BYTES - 1
    letters = [b"%c" % letter for letter in b"abcdefghi"]
    clients = [tcp.connect() for _ in letters]

    for client, letter in zip(clients, letters, strict=True):
        client.sendall(letter * size)

    received = b"".join(tcp.bodies())
    for client in clients:
        client.shutdown(socket.SHUT_WR)
    while len(received) < size * len(clients):
        received += b"".join(tcp.bodies())
    assert [received.count(letter) for letter in letters] == [size] * len(letters)


def send_until_blocked(client: socket.socket, lines: bytes) -> int:
    sent = 0
    while True:
        try:
            sent += client.send(lines[sent % 100 :])
        except TimeoutError:
            return sent


def test_full_inbox_makes_a_stream_wait_without_loss(start: Start) -> None:
    tcp = start("tcp", inbox_bytes=100_000)
    client = tcp.connect()
    client.settimeout(0.02)
    line = b"x" * 99 + b"\n"
    megabyte = line * 10_000

    sent = send_until_blocked(client, megabyte)
    client.settimeout(10)
    sender = threading.Thread(target=client.sendall, args=(megabyte[sent % 100 :],))
    sender.start()
    expected = sent + len(megabyte) - sent % 100
    received = b""
    while len(received) < expected:
        received += b"".join(tcp.bodies())
    sender.join()

    assert received == line * (expected // 100)
    assert tcp.inbox.take_refusals() == 0


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_close_ends_every_connection_and_the_port(start: Start, protocol: str) -> None:
    running = start(protocol)
    client = running.connect()
    client.sendall(post(b"1") if protocol == "http" else b"1\n")
    running.bodies()

    running.close_listener()

    assert until_closed(client) in (b"", OK)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(running.address)


def test_closing_a_listener_that_never_started_frees_its_port() -> None:
    with CapturedLog() as captured:
        server = open_port(0, captured.diagnostics(FakeClock()))
    address = server.getsockname()

    Listener("http", server, Inbox(1_000), FakeClock()).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_closing_the_inbox_releases_a_waiting_stream(start: Start) -> None:
    tcp = start("tcp", inbox_bytes=1_000)
    client = tcp.connect()
    client.sendall(b"x" * 900 + b"\n")
    while tcp.inbox.put_body(Body(b"", 0)):
        pass
    client.sendall(b"x" * 900 + b"\n")

    tcp.inbox.close()
    tcp.close_listener()
