"""The words of which toy extensions are made: a script of a few lines, run as a real process.

``toy_extension(opt, "name", "register(); subscribe(); follow()")`` writes one. This file is the prelude
of each such script, so it uses the standard library only and runs under ``python -I -S``.
"""

import http.client
import json
import os
import socket
import sys
import threading

NAME = os.path.basename(sys.argv[0])
API = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
IDENTITY = {}
BODIES = os.environ.get("TOY_BODIES")
EVERYTHING = ["platform", "function", "extension"]


def toy_extension(opt, name, script):
    """Write an executable extension into *opt*/extensions; not called by the toys themselves."""
    folder = opt / "extensions"
    folder.mkdir(parents=True, exist_ok=True)
    with open(__file__) as prelude:
        text = f"#!{os.path.realpath(sys.executable)} -IS\n{prelude.read()}\n\n{script}\n"
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


def say(*words):
    print(*words, flush=True)


def call(method, path, body=None, **headers):
    """One request to Lambda; gives status, parsed body and headers."""
    connection = http.client.HTTPConnection(API)
    data = body if isinstance(body, bytes | None) else json.dumps(body)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data, {**IDENTITY, **headers})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text or b"null"), response.headers


def register(events=("INVOKE", "SHUTDOWN"), name=NAME, **headers):
    status, answer, received = call(
        "POST",
        "/2020-01-01/extension/register",
        {"events": list(events)},
        Lambda_Extension_Name=name,
        **headers,
    )
    if status == 200:
        IDENTITY["Lambda-Extension-Identifier"] = received["Lambda-Extension-Identifier"]
    return status, answer


def error(phase, error_type="Extension.ConfigInvalid"):
    headers = {"Lambda_Extension_Function_Error_Type": error_type}
    return call("POST", f"/2020-01-01/extension/{phase}/error", {}, **headers)[:2]


def subscribe(port=None, types=EVERYTHING, schema="2022-12-13", statuses=(), protocol="HTTP", **buffering):
    """Listen, then ask for telemetry; *statuses* are the first answers to its POSTs, then 200."""
    port = port or listen(list(statuses), protocol)
    uri = {"URI": f"http://sandbox.localdomain:{port}/"} if protocol == "HTTP" else {"port": port}
    wanted = {
        "schemaVersion": schema,
        "destination": {"protocol": protocol, **uri},
        "types": types,
        "buffering": {"timeoutMs": 25, **buffering},
    }
    return call("PUT", "/2022-07-01/telemetry", wanted)[:2]


def listen(statuses=(), protocol="HTTP", port=0):
    """A listener on a thread; every body is appended as a line to the file TOY_BODIES."""
    listener = socket.create_server(("127.0.0.1", port))
    serve = _serve_http if protocol == "HTTP" else _serve_tcp

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, statuses), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def _serve_http(connection, statuses):
    stream = connection.makefile("rb")
    while stream.readline():
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = stream.read(length)
        status = statuses.pop(0) if statuses else 200
        if status == 200:
            keep(body + b"\n")
        connection.sendall(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % status)


def _serve_tcp(connection, statuses):
    for line in connection.makefile("rb"):
        keep(line)


def keep(data):
    if BODIES:
        with open(BODIES, "ab") as file:
            file.write(data)


def next_event():
    return call("GET", "/2020-01-01/extension/event/next")[1]


def follow(on_invoke=lambda event: None, linger_s=0.2):
    """Ask for events until SHUTDOWN; stay a moment for the last telemetry."""
    while (event := next_event())["eventType"] != "SHUTDOWN":
        on_invoke(event)
    threading.Event().wait(linger_s)
    return event
