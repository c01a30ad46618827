"""rotel, a collector used in production, as the receiver.

rotel forwards what it received over OTLP to a FakeCollector, so a test compares the decoded messages. Its printed
output is not used: it is ambiguous, and it omits types of data points, among others.
"""

import socket
import subprocess
from typing import Self

from tests.conformance.receiver_process import end, is_listening
from tests.conformance.requirements import rotel_binary
from tests.support.collector import FakeCollector

_ATTEMPTS = 5


class Rotel:
    """A rotel process on free loopback ports; `collector` has everything that it received."""

    def __init__(self) -> None:
        self.collector = FakeCollector()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def grpc_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._grpc_port}"

    def __enter__(self) -> Self:
        self.collector.__enter__()
        for _ in range(_ATTEMPTS):
            self._start()
            if is_listening(self._process, self._http_port):
                return self
            # Another program took one of the ports in between.
            end(self._process)
        self.collector.__exit__()
        raise RuntimeError(f"rotel ended with {self._process.returncode}")

    def __exit__(self, *_: object) -> None:
        end(self._process)
        self.collector.__exit__()

    def _start(self) -> None:
        self._http_port, self._grpc_port = _free_ports()
        command = rotel_command(
            str(rotel_binary()),
            http=f"127.0.0.1:{self._http_port}",
            grpc=f"127.0.0.1:{self._grpc_port}",
            collector=self.collector.endpoint,
        )
        # In a group of its own, Ctrl-C does not end it before everything has arrived.
        self._process = subprocess.Popen(command, env={}, stdout=subprocess.DEVNULL, process_group=0)


def rotel_command(binary: str, *, http: str, grpc: str, collector: str) -> list[str]:
    """Return the command of a receiver on *http* and *grpc* that forwards every request to *collector*."""
    receivers = ["--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc]
    exporter = ["--exporter", "otlp", "--otlp-exporter-endpoint", collector]
    exporter += ["--otlp-exporter-protocol", "http"]
    return [binary, "start", *receivers, *exporter, "--disable-batching"]


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
