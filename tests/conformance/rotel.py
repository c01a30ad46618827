"""rotel, a collector that others run in production, as the receiver; what it has understood comes back out of it.

rotel passes on what it took in, over OTLP, to a FakeCollector. Its printout is no good for comparing: a line break
in a string may read as the next attribute, and the types of data points and much else are not printed.
"""

import signal
import socket
import subprocess
import time
from typing import Self

from tests.conformance.machine import rotel_binary
from tests.support.collector import FakeCollector

_END_LIMIT_S = 10.0


class Rotel:
    """A rotel on free loopback ports; `collector` has everything it took in."""

    def __init__(self) -> None:
        self.collector = FakeCollector()
        self._http_port, self._grpc_port = _free_ports()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def grpc_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._grpc_port}"

    def __enter__(self) -> Self:
        self.collector.__enter__()
        self._process = subprocess.Popen(
            rotel_command(
                str(rotel_binary()),
                http=f"127.0.0.1:{self._http_port}",
                grpc=f"127.0.0.1:{self._grpc_port}",
                collector=self.collector.endpoint,
            ),
            env={},
            stdout=subprocess.DEVNULL,
        )
        self._wait_until_it_listens()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.collector.__exit__()

    def stop(self) -> None:
        """End rotel; afterwards `collector` has all that it ever accepted."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_END_LIMIT_S)

    def _wait_until_it_listens(self) -> None:
        while self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._http_port)).close()
            except ConnectionRefusedError:
                time.sleep(0.005)  # It does not say when it listens.
            else:
                return
        raise RuntimeError(f"rotel ended with {self._process.returncode}")


def rotel_command(binary: str, *, http: str, grpc: str, collector: str) -> list[str]:
    """Run rotel as a receiver on *http* and *grpc* that passes everything on to *collector*, as it comes."""
    receivers = ["--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc]
    exporter = [
        "--exporter",
        "otlp",
        "--otlp-exporter-endpoint",
        collector,
        "--otlp-exporter-protocol",
        "http",
    ]
    return [binary, "start", *receivers, *exporter, "--disable-batching"]


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
