"""One process of the extension, driven as by Lambda: events, posts, freezes, and clocks that a test moves."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.lambda_stub import LambdaStub
from tests.chaos.ledger_line import SignalLedger, is_ledger_line, parse
from tests.support.wall_clock import WallClock

_TIMEOUT_S = 900.0
_SHUTDOWN_S = 2.0
_RECORDS = re.compile(r"records received (\d+)")


@dataclass(frozen=True)
class Usage:
    """What the process uses at one moment."""

    rss_kb: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Books:
    """What the process has logged at its end."""

    code: int
    records: int
    ledgers: Mapping[str, SignalLedger]
    output: str


class ExtensionLife:
    """From the start to SHUTDOWN. Both clocks of the process are ahead by what was passed to `freeze`."""

    def __init__(self, opt: Path, clock: WallClock, variables: Mapping[str, str]) -> None:
        self._api = LambdaStub()
        self._clock = clock
        env = {"PATH": "/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": self._api.address, **variables}
        command = str(opt / "extensions" / "telemetry-forwarder")
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by `shut_down`
        self._popen = subprocess.Popen([command], env=env, stdin=subprocess.DEVNULL, stderr=self._output)
        self._api.wait_for("next")
        self._posts = socket.create_connection(("127.0.0.1", self._api.telemetry_port))
        self._posts.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def invoke(self, request_id: str, bodies: list[bytes], *, ahead_s: float) -> None:
        """Begin an invocation, post *bodies* and wait for `next`. *ahead_s*: Lambda's time less the real one."""
        calls = self._api.next_calls
        self._api.invoke(request_id, _TIMEOUT_S + ahead_s)
        for body in bodies:
            self._post(body)
        self._api.wait_for_next_calls(calls + 1)

    def freeze(self, *, wall_s: float, monotonic_s: float) -> None:
        """Stop the process, set how far its clocks are ahead, and let it continue."""
        os.kill(self._popen.pid, signal.SIGSTOP)
        self._clock.shift_both(wall_s, monotonic_s=monotonic_s)
        os.kill(self._popen.pid, signal.SIGCONT)

    def usage(self) -> Usage:
        folder = Path(f"/proc/{self._popen.pid}")
        fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        descriptors = len(os.listdir(folder / "fd"))
        return Usage(int(fields["VmRSS"].split()[0]), descriptors, int(fields["Threads"]))

    def shut_down(self, reason: str, *, ahead_s: float) -> Books:
        """Send SHUTDOWN, and return what the process logs until it exits."""
        self._api.shut_down(_SHUTDOWN_S + ahead_s, reason)
        self._posts.close()
        self._popen.wait(60.0)
        self._api.__exit__()
        with self._output:
            self._output.seek(0)
            output = self._output.read()
        lines = [line for line in output.splitlines() if is_ledger_line(line)]
        records = sum(int(found[1]) for line in lines if (found := _RECORDS.search(line)))
        return Books(self._popen.returncode, records, parse(lines[-1]) if lines else {}, output)

    def kill(self) -> None:
        """End the process of a run that has failed."""
        self._popen.kill()
        self._popen.wait()
        self._output.close()

    def _post(self, body: bytes) -> None:
        request = b"POST / HTTP/1.1\r\nHost: sandbox\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        while True:
            self._posts.sendall(request)
            response = b""
            while b"\r\n\r\n" not in response:
                response += (received := self._posts.recv(65_536))
                assert received, "the extension has closed the connection"
            if b" 200 " in response:
                return
            time.sleep(0.01)
