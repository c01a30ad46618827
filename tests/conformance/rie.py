"""AWS's own Lambda emulator without Docker: in Linux namespaces, together with rotel.

The Runtime Interface Emulator is extracted from the wheel of aws-sam-cli. rotel forwards what it received to a
FakeCollector, over a listening socket that is passed out of the namespaces, so a test compares decoded messages.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from tests.conformance.namespaces import IS_ROOT, process_in_namespaces
from tests.conformance.requirements import Mode, rie_binary, rotel_binary, runtime_client
from tests.conformance.rie_log import ProcessExit, api_calls, durations_ms, managed_exits
from tests.conformance.rotel import rotel_command
from tests.support.collector import FakeCollector

_HERE = Path(__file__).parent
_INIT = _HERE / "namespace_init.py"
_NAME = "telemetry-forwarder"
# Generous, for busy machines. A command that takes longer hangs.
_START_LIMIT_S = 50.0
_COMMAND_LIMIT_S = 50.0
# The emulator of managed instances hangs for good if a batch is due while the previous one is unanswered. With our
# default of 25 ms that happens on a busy machine.
UNHURRIED_TELEMETRY = {"TELEMETRY_FORWARDER_BUFFER_TIMEOUT_MS": "1000"}
_STALL = "could not send batch to telemetry Subscriber"

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
class HttpResponse:
    """What the caller of the function received."""

    status: int
    body: str

    @property
    def is_from_function(self) -> bool:
        """Whether the handler returned. The emulator responds with 200 to a timeout, too."""
        return self.status == 200 and '"request_id"' in self.body


@dataclass(frozen=True, slots=True)
class Termination:
    """How the emulator ended after SIGTERM, and what it left behind."""

    exit_status: int
    terminated_unix_s: float
    ended_unix_s: float
    left_processes: list[str]
    left_files: list[str]
    """Under /tmp: everything else is read-only."""


_PORTS = {"http": "127.0.0.1:4318", "grpc": "127.0.0.1:4317", "collector": "http://127.0.0.1:4319"}
# Without an address it listens on every interface.
_RIE_OPTIONS = ("--log-level", "debug", "--runtime-interface-emulator-address", "127.0.0.1:8080")
_RUNTIME = ("/var/lang/bin/python3", "-m", "awslambdaric", "app.handler")


class RieError(Exception):
    """The emulator failed or hangs; the message contains its log."""

    @property
    def is_known_stall(self) -> bool:
        """Whether the emulator hangs because of a defect of its own."""
        return _STALL in str(self)


class Rie:
    """One emulator, a context manager. *opt* becomes /opt, `tests/conformance/task` becomes /var/task.

    *extensions* are more files for /opt/extensions. In standard mode the emulator does not log exit statuses, so
    an exit recorder starts the extension; *records_exits* False starts it directly. *as_user* creates the
    namespaces without root, where managed instances cannot run.
    `collector` has everything that rotel received at http://127.0.0.1:4318 of the namespaces (gRPC: 4317).
    """

    def __init__(
        self,
        opt: Path,
        *,
        mode: Mode = "standard",
        env: Mapping[str, str] | None = None,
        extensions: Sequence[Path] = (),
        records_exits: bool = True,
        as_user: bool = not IS_ROOT,
    ) -> None:
        self._is_managed = mode == "managed-instances"
        self._as_user = as_user
        self._folder = Path(tempfile.mkdtemp(prefix="rie-"))
        # Extensions write to it, and on managed instances they are not root.
        self._folder.chmod(0o777)
        environment = {**_ENVIRONMENT, **(_managed_environment() if self._is_managed else {}), **(env or {})}
        self._settings = {
            "opt": str(opt),
            "outside": str(self._folder),
            "extensions": [str(path) for path in extensions],
            "exit_recorder": str(_HERE / "extensions" / "exit_recorder"),
            "recorded_extension": _NAME if records_exits and not self._is_managed else None,
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
        self._has_ended = False

    def __enter__(self) -> Self:
        settings = self._folder / "settings.json"
        settings.write_text(json.dumps(self._settings), encoding="utf-8")
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder)
            self._socket, theirs = socket.socketpair()
            stack.enter_context(self._socket)
            # The interpreter under the virtual environment: the one that becomes /var/lang.
            python = f"{sys.base_prefix}/bin/python3"
            with theirs, (self._folder / "init.log").open("wb") as log:
                self._process = stack.enter_context(
                    process_in_namespaces(
                        [python, "-IS", str(_INIT), str(theirs.fileno()), str(settings)],
                        as_user=self._as_user,
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )
            self.collector = stack.enter_context(FakeCollector(listener=self._listener()))
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
            stack.callback(self._stop_reading)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _stop_reading(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()

    def _listener(self) -> socket.socket:
        """Receive the socket in the namespaces to which rotel forwards everything."""
        self._socket.settimeout(_START_LIMIT_S)
        try:
            _, [descriptor], _, _ = socket.recv_fds(self._socket, 1, maxfds=1)
        except (TimeoutError, ValueError) as exc:
            raise RieError(f"the emulator did not start\n{self._diagnosis()}") from exc
        self._socket.settimeout(None)
        return socket.socket(fileno=descriptor)

    def invoke(
        self, payload: object = None, *, headers: Mapping[str, str] | None = None, limit_s: float = _COMMAND_LIMIT_S
    ) -> HttpResponse:
        """Invoke the function and wait for the response. Only managed instances allow overlapping calls."""
        body = json.dumps({} if payload is None else payload)
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        return HttpResponse(**self._command("invoke", limit_s=limit_s, body=body, headers=all_headers))

    def terminate(self) -> Termination:
        """Send SIGTERM, wait until the emulator has ended and rotel has forwarded everything."""
        return Termination(**self._command("terminate", limit_s=_COMMAND_LIMIT_S))

    @property
    def log(self) -> str:
        """Return the output of the emulator, the function and the extensions so far."""
        return (self._folder / "rie.log").read_text(encoding="utf-8", errors="replace")

    @property
    def api_calls(self) -> list[str]:
        """Return 'METHOD path' of each call to the Extensions and Telemetry APIs, in order."""
        return api_calls(self.log)

    @property
    def durations_ms(self) -> list[float]:
        """Return the duration of each invocation as the emulator logs it, extensions included."""
        return durations_ms(self.log)

    @property
    def exits(self) -> list[ProcessExit]:
        """Return the exits of the extension; needs the exit recorder in standard mode."""
        if self._is_managed:
            return managed_exits(self.log, _NAME)
        exits = self._lines_of("exits.jsonl")
        return [ProcessExit(each["ended_unix_s"], each["exit_status"]) for each in exits]

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """Return the events that the emulator delivered to `telemetry_recorder`, in order."""
        return self._lines_of("recorded.jsonl")

    def _lines_of(self, name: str) -> list[Any]:
        file = self._folder / name
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def _command(self, name: str, *, limit_s: float, **arguments: object) -> Any:
        future: Future[Any] = Future()
        with self._sending:
            if self._has_ended:
                raise RieError(f"no {name}: the emulator has ended\n{self._diagnosis()}")
            number = next(self._numbers)
            self._pending[number] = future
            command = {"number": number, "name": name, **arguments}
            self._socket.sendall(json.dumps(command).encode() + b"\n")
        try:
            return future.result(limit_s)
        except TimeoutError as exc:
            raise RieError(f"no response to {name} within {limit_s} s\n{self._diagnosis()}") from exc

    def _read(self) -> None:
        with contextlib.suppress(ConnectionError), self._socket.makefile("r", encoding="utf-8") as responses:
            for line in responses:
                response = json.loads(line)
                future = self._pending.pop(response["number"])
                if "error" in response:
                    future.set_exception(RieError(f"{response['error']}\n{self._diagnosis()}"))
                else:
                    future.set_result(response["value"])
        with self._sending:
            self._has_ended = True
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
        **UNHURRIED_TELEMETRY,
    }
