"""Memory stays within the bounds of the queues, whatever another process sends to the port."""

import socket
from pathlib import Path

import pytest

from tests.bench.driven_extension import driven_extension
from tests.bench.measuring import memory_mb, wait_until_idle
from tests.bench.sink import Sink
from tests.bench.trees import checkout

_CONNECTIONS = 4
_SENT_MB = 28
# 16 MiB each: incomplete lines, the inbox, what was taken from it, and the outbox. Then what converting a line takes.
_BOUND_MB = 4 * 16 + 12


@pytest.mark.parametrize("byte", [b"x", b"\xff"], ids=["text", "not UTF-8"])
def test_stream_without_a_line_end_is_held_within_the_bounds(opt: Path, byte: bytes) -> None:
    part = byte * 65_536
    with (
        Sink(keeps=False) as sink,
        driven_extension(checkout(opt), sink, {"TELEMETRY_FORWARDER_LISTENER": "tcp"}) as it,
    ):
        warm_mb = memory_mb(it.process.pid)["VmRSS"]
        address = ("127.0.0.1", it.api.telemetry_port)
        clients = [socket.create_connection(address) for _ in range(_CONNECTIONS)]
        for _ in range(_SENT_MB * 16 // _CONNECTIONS):
            for client in clients:
                client.sendall(part)
        for client in clients:
            client.close()
        wait_until_idle(it.process.pid)

        assert memory_mb(it.process.pid)["VmHWM"] - warm_mb < _BOUND_MB
