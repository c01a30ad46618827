"""VictoriaLogs and VictoriaMetrics, two databases with OTLP receivers, as the back end."""

import socket
import subprocess
from pathlib import Path
from typing import Self

import httpx

from tests.conformance.receiver_process import end, is_listening

_ATTEMPTS = 5


class Victoria:
    """A process of one of the two programs on a free loopback port, with an empty *folder* for what it stores."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def query(self, path: str, **parameters: str) -> str:
        """Return the response to a query, after everything that was received has become visible."""
        self._post("/internal/force_flush", {})
        return self._post(path, parameters)

    def _post(self, path: str, parameters: dict[str, str]) -> str:
        response = httpx.post(f"http://{self.address}{path}", data=parameters, trust_env=False)
        return response.raise_for_status().text

    def __enter__(self) -> Self:
        for _ in range(_ATTEMPTS):
            self._start()
            if is_listening(self._process, self._port):
                return self
            # Another program took the port in between.
            end(self._process)
        raise RuntimeError(f"{self._program.name} ended with {self._process.returncode}")

    def __exit__(self, *_: object) -> None:
        end(self._process)

    def _start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._port = server.getsockname()[1]
        # The records of the tests have fixed dates, whatever the machine's clock says.
        retention = ["-retentionPeriod=100y", "-futureRetention=100y"]
        command = [
            str(self._program),
            f"-httpListenAddr={self.address}",
            f"-storageDataPath={self._folder}",
            *retention,
        ]
        self._process = subprocess.Popen(command, env={}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
