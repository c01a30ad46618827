import socket
from collections.abc import Iterator

import pytest

from telemetry_forwarder.port import opened_port
from tests.support.fake_clock import FakeClock
from tests.support.said import Said


@pytest.fixture
def said() -> Iterator[Said]:
    with Said() as said:
        yield said


def test_port_takes_connections_before_anybody_serves_it(said: Said) -> None:
    server = opened_port(0, said.diagnostics(FakeClock()))

    with socket.create_connection(("127.0.0.1", server.getsockname()[1])) as client:
        client.sendall(b"posted early")
    server.close()

    assert said.lines == []


def test_port_that_was_asked_for_is_taken(said: Said) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

    server = opened_port(port, said.diagnostics(FakeClock()))

    assert (server.getsockname(), said.lines) == (("0.0.0.0", port), [])
    server.close()


def test_port_of_an_earlier_life_is_taken_at_once(said: Said) -> None:
    first = opened_port(0, said.diagnostics(FakeClock()))
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        # Closed by us first, so that the kernel remembers it on our side.
        accepted = socket.socket(fileno=first._accept()[0])  # type: ignore[attr-defined]
        accepted.close()
        first.close()
        assert client.recv(1) == b""

    second = opened_port(port, said.diagnostics(FakeClock()))

    assert (second.getsockname()[1], said.lines) == (port, [])
    second.close()


def test_port_that_is_taken_costs_a_warning_and_another_port(said: Said) -> None:
    first = opened_port(0, said.diagnostics(FakeClock()))
    port = first.getsockname()[1]

    second = opened_port(port, said.diagnostics(FakeClock()))

    assert second.getsockname()[1] not in (0, port)
    assert said.lines == [
        f"WARN TELEMETRY_FORWARDER_PORT: port {port} cannot be had (Address already in use);"
        " taken instead: any free one"
    ]
    first.close()
    second.close()
