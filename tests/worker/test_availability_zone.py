"""The metadata endpoint is a real server; without its answer nothing changes."""

import socket
from collections.abc import Callable

import pytest

from telemetry_forwarder.worker.availability_zone import AvailabilityZone
from tests.support.captured_log import CapturedLog
from tests.support.fake_clock import FakeClock
from tests.support.tcp_server import responds, tcp_server
from tests.support.waiting import wait_until

API, TOKEN = "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN"
REQUEST = (
    b"GET /2026-01-15/metadata/execution-environment HTTP/1.1\r\nHost: %s\r\n"
    b"Authorization: Bearer secret\r\nConnection: close\r\n\r\n"
)


def response(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


FOUND = response(b'{"AvailabilityZoneID":"euw1-az2"}')


def zone_at(url: str, captured: CapturedLog, **environ: str) -> AvailabilityZone:
    clock = FakeClock()
    variables = {API: url.removeprefix("http://"), TOKEN: "secret", **environ}
    return AvailabilityZone(variables, clock, captured.diagnostics(clock))


def taken(zone: AvailabilityZone) -> str:
    """Wait for the id, and return it."""
    found = ""

    def is_known() -> bool:
        nonlocal found
        found = zone.take()
        return found != ""

    wait_until(is_known)
    return found


def test_id_is_taken_once(captured: CapturedLog) -> None:
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(connection.recv(65_536))
        connection.sendall(FOUND)

    with tcp_server(serve) as url:
        zone = zone_at(url, captured)
        assert zone.take() == ""

        assert (taken(zone), zone.take(), zone.take()) == ("euw1-az2", "", "")

    assert requests == [REQUEST % url.removeprefix("http://").encode()]
    assert captured.lines == []


def test_snapshot_waits_for_its_first_invocation(captured: CapturedLog) -> None:
    with tcp_server(responds(FOUND)) as url:
        zone = zone_at(url, captured, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
        assert [zone.take() for _ in range(3)] == [""] * 3

        zone.invoked()

        assert taken(zone) == "euw1-az2"


def hangs_up(connection: socket.socket) -> None:
    connection.recv(65_536)


@pytest.mark.parametrize(
    ("serve", "problem"),
    [
        (responds(response(b"{}", 401)), "ValueError: the metadata endpoint responded with 401"),
        (responds(response(b"[]")), "ValueError: the metadata endpoint responded without AvailabilityZoneID"),
        (responds(response(b'{"AvailabilityZoneID":7}')), "without AvailabilityZoneID"),
        (responds(response(b'{"AvailabilityZoneID":""}')), "without AvailabilityZoneID"),
        (responds(response(b'{"AvailabilityZoneID":"%s"}' % (b"x" * 65))), "without AvailabilityZoneID"),
        (responds(response(b'{"AvailabilityZoneID":"a\\n"}')), "without AvailabilityZoneID"),
        (responds(b"SSH-2.0-x\r\n"), "MessageError: "),
        (hangs_up, "ConnectionResetError: closed without a response"),
    ],
)
def test_failure_is_one_line(serve: Callable[[socket.socket], None], problem: str, captured: CapturedLog) -> None:
    with tcp_server(serve) as url:
        zone = zone_at(url, captured)
        zone.take()
        wait_until(lambda: captured.lines != [])

    assert [zone.take() for _ in range(3)] == [""] * 3
    [line] = captured.lines
    assert line.startswith("DEBUG the availability zone is unknown: ")
    assert problem in line
    assert "secret" not in line


def test_response_that_takes_too_long_is_given_up(captured: CapturedLog) -> None:
    clock = FakeClock()

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        clock.advance(2.0)
        connection.sendall(FOUND[:5])
        # Until the client closes the connection.
        connection.recv(1)

    with tcp_server(serve) as url:
        environ = {API: url.removeprefix("http://"), TOKEN: "secret"}
        zone = AvailabilityZone(environ, clock, captured.diagnostics(clock))
        zone.take()
        wait_until(lambda: captured.lines != [])

    assert captured.lines == ["DEBUG the availability zone is unknown: TimeoutError: no response within 1.0 s"]


@pytest.mark.parametrize("environ", [{API: ""}, {TOKEN: "a\r\nHost: b"}, {API: "127.0.0.1:\u00b2"}])
def test_nothing_happens_without_usable_variables(environ: dict[str, str], captured: CapturedLog) -> None:
    zone = zone_at("http://127.0.0.1:1", captured, **environ)

    assert [zone.take() for _ in range(3)] == [""] * 3
    assert captured.lines == []


def test_port_that_is_no_number_is_one_line(captured: CapturedLog) -> None:
    zone = zone_at("http://localhost", captured)

    zone.take()

    wait_until(lambda: len(captured.lines) == 1)
