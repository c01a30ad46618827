"""The functions of which test extensions are made: a script of a few lines, run as a real process.

``write_extension(opt, "name", "register(); subscribe(); follow()")`` writes one. This file is the first part of
each such script, so it uses the standard library only and runs under ``python -I -S``.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

NAME = os.path.basename(sys.argv[0])
API = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
BODIES_FILE = os.environ.get("BODIES_FILE")
RELEASE_FILE = os.environ.get("RELEASE_FILE", "")
EVERYTHING = ("platform", "function", "extension")
_identity: dict[str, str] = {}
_invocations: list[Any] = []
_reports: list[int] = []
_subscribed: list[Sequence[str]] = []
_has_reports = threading.Condition()


def write_extension(opt: Path, name: str, script: str) -> Path:
    """Write an executable extension into *opt*/extensions. Called by tests, not by the scripts."""
    folder = opt / "extensions"
    folder.mkdir(parents=True, exist_ok=True)
    with open(__file__) as prelude:
        text = f"#!{os.path.realpath(sys.executable)} -IS\n{prelude.read()}\n\n{script}\n"
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


def log(*words: object) -> None:
    print(*words, flush=True)


def call(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Send one request to Lambda; return status, parsed body and headers of the response."""
    connection = http.client.HTTPConnection(API)
    data = body if isinstance(body, bytes | None) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data, {**_identity, **named})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text or b"null"), response.headers


def register(events: Sequence[str] = ("INVOKE", "SHUTDOWN"), name: str = NAME, **headers: str) -> tuple[int, Any]:
    status, body, received = call(
        "POST", "/2020-01-01/extension/register", {"events": list(events)}, Lambda_Extension_Name=name, **headers
    )
    if status == 200:
        _identity["Lambda-Extension-Identifier"] = received["Lambda-Extension-Identifier"]
    return status, body


def error(phase: str, error_type: str = "Extension.ConfigInvalid") -> tuple[int, Any]:
    """Report an error; *phase* is "init" or "exit"."""
    headers = {"Lambda_Extension_Function_Error_Type": error_type}
    return call("POST", f"/2020-01-01/extension/{phase}/error", {}, **headers)[:2]


def subscribe(
    port: int | None = None,
    *,
    types: Sequence[str] = EVERYTHING,
    schema: str = "2022-12-13",
    statuses: Sequence[int] = (),
    protocol: str = "HTTP",
    **buffering: int,
) -> tuple[int, Any]:
    """Listen, then subscribe. The first POSTs are answered with *statuses*, the others with 200."""
    port = port or listen(statuses, protocol)
    uri: dict[str, Any] = {"URI": f"http://sandbox.localdomain:{port}/"} if protocol == "HTTP" else {"port": port}
    request = {
        "schemaVersion": schema,
        "destination": {"protocol": protocol, **uri},
        "types": list(types),
        "buffering": {"timeoutMs": 25, **buffering},
    }
    _subscribed.append(types)
    return call("PUT", "/2022-07-01/telemetry", request)[:2]


def listen(statuses: Sequence[int] = (), protocol: str = "HTTP", port: int = 0) -> int:
    """Start a listener and return its port. Accepted bodies are appended to BODIES_FILE, one per line."""
    listener = socket.create_server(("127.0.0.1", port))
    serve = _serve_http if protocol == "HTTP" else _serve_tcp
    remaining = list(statuses)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, remaining), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def _serve_http(connection: socket.socket, statuses: list[int]) -> None:
    stream = connection.makefile("rb")
    while stream.readline():
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = stream.read(length)
        status = statuses.pop(0) if statuses else 200
        if status == 200:
            append(body + b"\n")
        connection.sendall(b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % status)
        if status == 200:
            _count_reports(body)


def _serve_tcp(connection: socket.socket, statuses: list[int]) -> None:
    for line in connection.makefile("rb"):
        append(line)
        _count_reports(line)


def append(data: bytes) -> None:
    """Append *data* to BODIES_FILE, if there is one."""
    if BODIES_FILE:
        with open(BODIES_FILE, "ab") as file:
            file.write(data)


def _count_reports(body: bytes) -> None:
    with _has_reports:
        _reports.append(body.count(b'"platform.report"'))
        _has_reports.notify_all()


def next_event() -> Any:
    event = call("GET", "/2020-01-01/extension/event/next")[1]
    if event.get("eventType") == "INVOKE":
        _invocations.append(event)
    return event


def follow(on_invoke: Callable[[Any], object] = lambda event: None, *, linger_s: float = 1.0, copies: int = 1) -> Any:
    """Process events until SHUTDOWN and return that event.

    Before, wait for the last telemetry, but at most *linger_s*: *copies* of the report of each invocation.
    """
    while (event := next_event())["eventType"] != "SHUTDOWN":
        on_invoke(event)
    if _subscribed:
        with _has_reports:
            _has_reports.wait_for(lambda: sum(_reports) >= copies * len(_invocations), linger_s)
    return event


def wait_for_release(*_: object) -> None:
    """Block until the test creates RELEASE_FILE."""
    while not os.path.exists(RELEASE_FILE):
        threading.Event().wait(0.005)
