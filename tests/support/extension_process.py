"""Runs the real extension, from its start script on, under a Lambda whose responses a test sets."""

import http.client
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.certificates import Certificates
from tests.support.collector import FakeCollector
from tests.support.fake_lambda import NEXT, SUBSCRIBE, FakeLambda, invoke, shutdown
from tests.support.otlp_messages import LOGS, METRICS, SPANS
from tests.support.posts import event, post

_TIMEOUT_S = 60.0


class ExtensionProcess:
    """The process of the extension in *opt*. Its spool is a new folder, its endpoint that of *variables*."""

    def __init__(self, opt: Path, variables: Mapping[str, str], *, command: tuple[str, ...] = ()) -> None:
        """*command* runs the start script, which is appended to it; without it, the script runs by itself."""
        self.runtime = FakeLambda()
        self._command = (*command, str(opt / "extensions" / "telemetry-forwarder"))
        self._variables = variables
        self._folder = tempfile.TemporaryDirectory()
        self.spool = Path(self._folder.name) / "spool"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.runtime.__enter__()
        own = {
            "PATH": "/usr/bin:/bin",
            "AWS_LAMBDA_RUNTIME_API": self.runtime.runtime_api,
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_VERSION": "7",
            "TELEMETRY_FORWARDER_SPOOL_DIR": str(self.spool),
        }
        self._process = subprocess.Popen(
            self._command, env={**own, **self._variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.runtime.__exit__()
        self._folder.cleanup()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def wait_until_ready(self) -> None:
        """Block until the extension has asked for its first event."""
        self.runtime.wait_for(NEXT)

    def post(self, body: bytes) -> None:
        """Post telemetry as Lambda does; it has to be accepted."""
        destination = json.loads(self.runtime.wait_for(SUBSCRIBE).body)["destination"]["URI"]
        address, _, path = destination.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection("127.0.0.1", int(address.rpartition(":")[2]), timeout=_TIMEOUT_S)
        try:
            connection.request("POST", f"/{path}", body, {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
        finally:
            connection.close()

    def end(self) -> tuple[int, list[str]]:
        """Wait for the end of the process; return its exit code and its lines."""
        output, _ = self.process.communicate(timeout=_TIMEOUT_S)
        return self.process.returncode, output.decode("utf-8", "backslashreplace").splitlines()


_METRICS = {"durationMs": 1.0, "billedDurationMs": 1, "memorySizeMB": 128, "maxMemoryUsedMB": 1}
_TELEMETRY = post(
    event("platform.start", {"requestId": "id"}),
    event("function", "hello"),
    event("platform.runtimeDone", {"requestId": "id", "status": "success"}),
    event("platform.report", {"requestId": "id", "status": "success", "metrics": _METRICS}),
)


def lines_of_a_delivery(
    opt: Path, variables: Mapping[str, str], certificates: Certificates, *, command: tuple[str, ...] = ()
) -> list[str]:
    """Run one invocation with *variables*; return the extension's lines. All signals have to arrive, by TLS."""
    with FakeCollector(tls=certificates.server) as collector:
        own = {
            "TELEMETRY_FORWARDER_ENDPOINT": f"https://localhost:{collector.port}",
            "TELEMETRY_FORWARDER_CERTIFICATE": certificates.ca,
        }
        with ExtensionProcess(opt, {**own, **variables}, command=command) as extension:
            extension.wait_until_ready()
            extension.runtime.respond(NEXT, invoke())
            extension.post(_TELEMETRY)
            extension.runtime.wait_for(NEXT, 2)
            extension.runtime.respond(NEXT, shutdown())
            code, lines = extension.end()
        assert (code, collector.accepted(LOGS), collector.accepted(SPANS)) == (0, 1, 1), lines
        assert collector.accepted(METRICS), lines
    return lines


def checked(opt: Path, certificates: Certificates) -> str:
    """Run `check` with a destination that works, in any locale; return what it prints."""
    with FakeCollector(tls=certificates.server) as collector:
        environ = {
            "PATH": "/usr/bin:/bin",
            "LANG": "xx",
            "TELEMETRY_FORWARDER_ENDPOINT": f"https://localhost:{collector.port}",
            "TELEMETRY_FORWARDER_CERTIFICATE": certificates.ca,
        }
        command = [str(opt / "extensions" / "telemetry-forwarder"), "check"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_TIMEOUT_S)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert [collector.accepted(path) for path in (LOGS, SPANS, METRICS)] == [1, 1, 1]
    return done.stdout
