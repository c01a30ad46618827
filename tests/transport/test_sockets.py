"""How connections are opened; the tests of the transport cover the rest."""

import errno
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from telemetry_forwarder.transport.outcome import FailureKind
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import Stream, connect
from tests.support.addresses import resolver
from tests.support.collector import FakeCollector
from tests.support.requests import new_attempt, raises


def ports(names: Resolver) -> list[int]:
    return [address[1] for *_, address in names.addresses("h", 80, new_attempt())]


@pytest.fixture
def refusing_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_connection_is_noted_in_the_attempt(collector: FakeCollector) -> None:
    attempt = new_attempt()

    connect(("h", 80), attempt, resolver(collector.port)).close()

    assert (attempt.has_new_connection, attempt.is_connecting) == (True, False)


def test_next_address_is_tried_if_one_refuses(collector: FakeCollector, refusing_port: int) -> None:
    connect(("h", 80), new_attempt(), resolver(refusing_port, collector.port)).close()

    assert collector.wait_for(lambda: collector.connections == 1, 5)


def test_unresponsive_address_leaves_time_for_the_others(collector: FakeCollector, silent_port: int) -> None:
    connect(("h", 80), new_attempt(0.2), resolver(silent_port, collector.port)).close()

    assert collector.wait_for(lambda: collector.connections == 1, 5)


class TestSeveralAddresses:
    """https://www.rfc-editor.org/rfc/rfc8305"""

    def test_dead_addresses_delay_the_connection_by_250_ms_each(
        self, collector: FakeCollector, silent_port: int
    ) -> None:
        attempt = new_attempt(120.0)

        connect(("h", 80), attempt, resolver(silent_port, silent_port, collector.port)).close()

        # Two slices of the wait, and not a third of the time each.
        assert attempt.left_s() > 90.0

    def test_next_address_is_tried_at_once_if_one_fails(self, collector: FakeCollector, refusing_port: int) -> None:
        attempt = new_attempt(120.0)

        connect(("h", 80), attempt, resolver(*[refusing_port] * 200, collector.port)).close()

        assert attempt.left_s() > 90.0

    def test_each_address_gets_a_part_of_little_time(self, collector: FakeCollector, silent_port: int) -> None:
        connect(("h", 80), new_attempt(0.3), resolver(silent_port, silent_port, silent_port, collector.port)).close()

        assert collector.wait_for(lambda: collector.connections == 1, 5)

    def test_connections_that_lose_are_closed(self, silent_port: int) -> None:
        # The kernel accepts the connection; nothing else opens a descriptor meanwhile.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            before = len(os.listdir("/proc/self/fd"))

            connect(("h", 80), new_attempt(), resolver(silent_port, listening.getsockname()[1])).close()

            assert len(os.listdir("/proc/self/fd")) == before

    def test_address_that_was_connected_is_tried_first_next_time(
        self, collector: FakeCollector, silent_port: int
    ) -> None:
        names = resolver(silent_port, collector.port)

        connect(("h", 80), new_attempt(), names).close()

        assert ports(names) == [collector.port, silent_port]

    def test_remembered_address_that_fails_is_forgotten(self, collector: FakeCollector, silent_port: int) -> None:
        with FakeCollector() as other:
            names = resolver(other.port, silent_port, collector.port)
            connect(("h", 80), new_attempt(), names).close()

        connect(("h", 80), new_attempt(), names).close()

        assert ports(names) == [collector.port, other.port, silent_port]


def test_connecting_ends_at_the_deadline(silent_port: int) -> None:
    # Longer than a slice of the wait.
    attempt = new_attempt(0.3)

    with raises(FailureKind.UNREACHABLE, match="no connection in time"):
        connect(("h", 80), attempt, resolver(silent_port))

    assert attempt.is_connecting


def test_last_failure_is_raised(refusing_port: int) -> None:
    with raises(FailureKind.UNREACHABLE, match="Connection refused"):
        connect(("h", 80), new_attempt(), resolver(refusing_port, refusing_port))


def test_unreachable_address() -> None:
    with raises(FailureKind.UNREACHABLE):
        connect(("255.255.255.255", 80), new_attempt(), Resolver())


def test_name_without_addresses() -> None:
    with raises(FailureKind.UNREACHABLE, match="the name has no address"):
        connect(("h", 80), new_attempt(), resolver())


def test_localhost_is_connected_over_ipv4_or_ipv6(collector: FakeCollector) -> None:
    connect(("localhost", collector.port), new_attempt(), Resolver()).close()

    assert collector.wait_for(lambda: collector.connections == 1, 5)


def test_closed_connection_is_not_usable(collector: FakeCollector) -> None:
    stream = connect(("h", 80), new_attempt(), resolver(collector.port))

    assert stream.is_usable
    stream.close()
    assert not stream.is_usable


def test_address_of_an_unsupported_family_is_skipped(collector: FakeCollector) -> None:
    def resolve(host: str, port: int, flags: int) -> list[Any]:
        unknown = (99, socket.SOCK_STREAM, 6, "", ("127.0.0.1", collector.port))
        return [unknown, (socket.AF_INET, *unknown[1:])]

    connect(("h", 80), new_attempt(), Resolver(resolve)).close()

    assert collector.wait_for(lambda: collector.connections == 1, 5)


def test_connection_reset_before_the_handshake_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stream = connect(("h", 443), new_attempt(), resolver(listening.getsockname()[1]))
        accepted, _ = listening.accept()
        # Something that is not TLS, and a reset.
        accepted.sendall(b"hello")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()

    with raises(FailureKind.UNREACHABLE, match="no TLS: "):
        stream.start_tls(ssl.create_default_context(), "h", new_attempt())


class _Full(socket.socket):
    """A socket for which the kernel has no memory; it stays connected."""

    def send(self, *_: Any) -> int:
        raise OSError(errno.ENOBUFS, "No buffer space available")


def test_connection_that_did_not_send_everything_is_not_usable_again() -> None:
    ours, theirs = socket.socketpair()
    with theirs, _Full(fileno=ours.detach()) as full:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        stream = Stream(full)
        theirs.sendall(b"an early response")
        stream.write(b"request" * 8_000, new_attempt())

        assert stream.read(100, new_attempt()) == b"an early response"
        assert not stream.is_usable


def test_each_read_waits_as_long_as_its_attempt_allows() -> None:
    here, there = socket.socketpair()
    with there:
        stream = Stream(here)
        there.sendall(b"x")
        assert stream.read(10, new_attempt()) == b"x"
        assert here.gettimeout() == 0.25

        with raises(FailureKind.TIMED_OUT):
            stream.read(10, new_attempt(0.01))

        assert 0 < (here.gettimeout() or 0) <= 0.01
        stream.close()


def test_more_than_the_buffers_hold_is_sent_while_the_other_side_reads() -> None:
    here, there = socket.socketpair()
    with there:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        stream = Stream(here)
        reader = threading.Thread(target=_read_all, args=(there, 10_000_000))
        reader.start()

        stream.write(bytes(10_000_000), new_attempt(60.0))

        reader.join()
        stream.close()


def _read_all(connection: socket.socket, count: int) -> None:
    while count:
        count -= len(connection.recv(65_536))
