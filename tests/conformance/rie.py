"""AWS's own Lambda emulator, without Docker, in namespaces of its own, with rotel beside it.

The Runtime Interface Emulator comes out of the wheel of aws-sam-cli. What rotel takes in it passes on, over a
listening socket that reaches out of the namespaces, to a FakeCollector: so a test compares what a real receiver
has understood, field by field, and not a printout.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from tests.conformance.machine import Mode, rie_binary, rotel_binary, runtime_client, unshare
from tests.conformance.rie_log import Life, api_calls, durations_ms, managed_lives
from tests.conformance.rotel import rotel_command
from tests.support.collector import FakeCollector

_HERE = Path(__file__).parent
_NAME = "telemetry-forwarder"
# Starting two programs and Python; more only on a machine that is very busy.
_START_LIMIT_S = 30.0
_ORDER_LIMIT_S = 60.0

# What Lambda sets: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_ENVIRONMENT = {
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
}


@dataclass(frozen=True, slots=True)
class Invoked:
    """What the caller of the function got."""

    status: int
    body: str

    @property
    def is_from_function(self) -> bool:
        """Whether the handler has returned; the emulator answers 200 to a timeout as well."""
        return self.status == 200 and '"request_id"' in self.body


@dataclass(frozen=True, slots=True)
class Ending:
    """How the emulator ended after SIGTERM, and what was still there then."""

    exit_status: int
    asked_unix_s: float
    ended_unix_s: float
    left_processes: list[str]
    left_files: list[str]
    """Under /tmp; nothing else can be written to."""


_PORTS = {"http": "127.0.0.1:4318", "grpc": "127.0.0.1:4317", "collector": "http://127.0.0.1:4319"}
# Without an address it listens on every interface there is.
_RIE_OPTIONS = ("--log-level", "debug", "--runtime-interface-emulator-address", "127.0.0.1:8080")
_RUNTIME = ("/var/lang/bin/python3", "-m", "awslambdaric", "app.handler")


class RieError(Exception):
    """The emulator did not do what it was asked to; the message holds its log."""


class Rie:
    """One emulator; use it as a context manager. *opt* becomes /opt, `tests/conformance/task` becomes /var/task.

    *extensions* are further files for /opt/extensions. In standard mode the extension is run by a witness, because
    the emulator does not tell exit statuses there; *is_witnessed* False runs it directly. *as_user* makes the
    namespaces as somebody who is not root must; managed instances cannot live there.
    `collector` has all that rotel took in, at http://127.0.0.1:4318 of the namespaces (gRPC: 4317).
    """

    def __init__(
        self,
        opt: Path,
        *,
        mode: Mode = "standard",
        env: Mapping[str, str] | None = None,
        extensions: Sequence[Path] = (),
        is_witnessed: bool = True,
        as_user: bool = os.geteuid() != 0,
    ) -> None:
        self._is_managed = mode == "managed-instances"
        self._as_user = as_user
        self._folder = Path(tempfile.mkdtemp(prefix="rie-"))
        # Written to by extensions, which in managed instances are not root.
        self._folder.chmod(0o777)
        environment = {**_ENVIRONMENT, **(_managed_environment() if self._is_managed else {}), **(env or {})}
        self._settings = {
            "opt": str(opt),
            "outside": str(self._folder),
            "extensions": [str(path) for path in extensions],
            "witness": str(_HERE / "extensions" / "witness"),
            "witnessed": _NAME if is_witnessed and not self._is_managed else None,
            "task": [str(_HERE / "task"), str(runtime_client())],
            "base_prefix": sys.base_prefix,
            "rotel": str(rotel_binary()),
            "rotel_command": rotel_command("/var/bin/rotel", **_PORTS),
            "rie": str(rie_binary()),
            "rie_command": ["/var/bin/rie", *_RIE_OPTIONS, *(() if self._is_managed else _RUNTIME)],
            "env": environment,
        }
        self._numbers = count()
        self._pending: dict[int, Future[Any]] = {}
        self._sending = threading.Lock()

    def __enter__(self) -> Self:
        settings = self._folder / "settings.json"
        settings.write_text(json.dumps(self._settings), encoding="utf-8")
        self._socket, theirs = socket.socketpair()
        with theirs, (self._folder / "inside.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *unshare(as_user=self._as_user),
                    # The interpreter under the virtualenv: the same one that becomes /var/lang.
                    *(f"{sys.base_prefix}/bin/python3", "-IS", str(_HERE / "inside.py")),
                    *(str(theirs.fileno()), str(settings)),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.collector = FakeCollector(listener=self._listener())
        self.collector.__enter__()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._reader.join()
        self._socket.close()
        self.collector.__exit__()
        shutil.rmtree(self._folder)

    def _end(self) -> None:
        # Process 1 of the namespaces ends with this socket, and the kernel ends the rest with it.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def _listener(self) -> socket.socket:
        """The socket in the namespaces that rotel passes everything on to; comes when all is started."""
        self._socket.settimeout(_START_LIMIT_S)
        try:
            _, [descriptor], _, _ = socket.recv_fds(self._socket, 1, maxfds=1)
        except (TimeoutError, ValueError) as exc:
            self._end()
            raise RieError(f"the emulator did not start\n{self._diagnosis()}") from exc
        self._socket.settimeout(None)
        return socket.socket(fileno=descriptor)

    def invoke(
        self,
        payload: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        limit_s: float = _ORDER_LIMIT_S,
    ) -> Invoked:
        """Invoke the function and wait for the answer; overlapping calls are for managed instances only."""
        body = json.dumps({} if payload is None else payload)
        given = {"Content-Type": "application/json", **(headers or {})}
        return Invoked(**self._order("invoke", limit_s=limit_s, body=body, headers=given))

    def terminate(self) -> Ending:
        """Send SIGTERM, wait for the end of the emulator, then for rotel to have passed on all it had."""
        return Ending(**self._order("terminate", limit_s=_ORDER_LIMIT_S))

    @property
    def log(self) -> str:
        """What the emulator, the function and the extensions have written so far."""
        return (self._folder / "rie.log").read_text(encoding="utf-8", errors="replace")

    @property
    def api_calls(self) -> list[str]:
        """'METHOD path' of the calls to the Extensions and Telemetry APIs, in order."""
        return api_calls(self.log)

    @property
    def durations_ms(self) -> list[float]:
        """What the emulator gives as the duration of each invocation, extensions included."""
        return durations_ms(self.log)

    @property
    def lives(self) -> list[Life]:
        """Every life of the extension that is over; needs the witness in standard mode."""
        if self._is_managed:
            return managed_lives(self.log, _NAME)
        return [Life(life["ended_unix_s"], life["exit_status"]) for life in self._lines_of("lives.jsonl")]

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """The events that the emulator delivered to `recorder`, in order."""
        return self._lines_of("recorded.jsonl")

    def _lines_of(self, name: str) -> list[Any]:
        file = self._folder / name
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def _order(self, name: str, *, limit_s: float, **arguments: object) -> Any:
        future: Future[Any] = Future()
        with self._sending:
            number = next(self._numbers)
            self._pending[number] = future
            order = {"number": number, "name": name, **arguments}
            self._socket.sendall(json.dumps(order).encode() + b"\n")
        try:
            return future.result(limit_s)
        except TimeoutError as exc:
            raise RieError(f"no answer to {name} within {limit_s} s\n{self._diagnosis()}") from exc

    def _read(self) -> None:
        with self._socket.makefile("r", encoding="utf-8") as answers:
            for line in answers:
                answer = json.loads(line)
                future = self._pending.pop(answer["number"])
                if "error" in answer:
                    future.set_exception(RieError(f"{answer['error']}\n{self._diagnosis()}"))
                else:
                    future.set_result(answer["value"])
        for future in self._pending.values():
            future.set_exception(RieError(self._diagnosis()))

    def _diagnosis(self) -> str:
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')}" for log in logs)


def _managed_environment() -> dict[str, str]:
    return {
        "AWS_LAMBDA_MAX_CONCURRENCY": "4",
        "AWS_LAMBDA_FUNCTION_HANDLER": "app.handler",
        "_HANDLER": "app.handler",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
        # The emulator hangs for good when a batch is due while the one before it is still unanswered ("could not
        # send batch to telemetry Subscriber"): on a busy machine 25 ms, our default, is too soon.
        "TELEMETRY_FORWARDER_BUFFER_TIMEOUT_MS": "1000",
    }
