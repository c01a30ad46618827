import socket
from collections.abc import Iterator

import pytest

from telemetry_forwarder.port import opened_port
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock


@pytest.fixture
def captured() -> Iterator[CapturedLog]:
    with CapturedLog() as captured:
        yield captured


def test_port_takes_connections_before_anybody_serves_it(captured: CapturedLog) -> None:
    server = opened_port(0, captured.diagnostics(FakeClock()))

    with socket.create_connection(("127.0.0.1", server.getsockname()[1])) as client:
        client.sendall(b"posted early")
    server.close()

    assert captured.lines == []


def test_port_that_was_asked_for_is_taken(captured: CapturedLog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

    server = opened_port(port, captured.diagnostics(FakeClock()))

    assert (server.getsockname(), captured.lines) == (("0.0.0.0", port), [])
    server.close()


def test_port_of_an_earlier_life_is_taken_at_once(captured: CapturedLog) -> None:
    first = opened_port(0, captured.diagnostics(FakeClock()))
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        # Closed by us first, so that the kernel remembers it on our side.
        accepted = socket.socket(fileno=first._accept()[0])  # type: ignore[attr-defined]
        accepted.close()
        first.close()
        assert client.recv(1) == b""

    second = opened_port(port, captured.diagnostics(FakeClock()))

    assert (second.getsockname()[1], captured.lines) == (port, [])
    second.close()


def test_port_that_is_taken_costs_a_warning_and_another_port(captured: CapturedLog) -> None:
    first = opened_port(0, captured.diagnostics(FakeClock()))
    port = first.getsockname()[1]

    second = opened_port(port, captured.diagnostics(FakeClock()))

    assert second.getsockname()[1] not in (0, port)
    assert captured.lines == [
        f"WARN TELEMETRY_FORWARDER_PORT: port {port} cannot be had (Address already in use);"
        " taken instead: any free one"
    ]
    first.close()
    second.close()
