"""A Runtime API for extensions whose responses a test sets in advance."""

import json
import queue
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

IDENTIFIER = "0f9f2a1e-6d0b-4c52-9d54-3a1b7c8d9e0f"
REGISTER = "POST /2020-01-01/extension/register"
NEXT = "GET /2020-01-01/extension/event/next"
SUBSCRIBE = "PUT /2022-07-01/telemetry"


@dataclass
class Response:
    """Lambda's response to one call."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """The exact bytes, in place of all of the above."""
    closes: bool = False
    """Whether the connection is closed afterwards without announcement."""

    @property
    def wire(self) -> bytes:
        if self.raw is not None:
            return self.raw
        fields = {"Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} Status\r\n{head}\r\n".encode() + self.body


@dataclass(frozen=True)
class Call:
    """One request of an extension."""

    endpoint: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the extension's connection, counted from 0."""


NO_MORE = Response(closes=True, raw=b"")
_REGISTERED = {"functionName": "orders", "functionVersion": "7", "handler": "app.handler", "accountId": "111122223333"}
_DEFAULTS = {
    REGISTER: Response(body=json.dumps(_REGISTERED).encode(), headers={"Lambda-Extension-Identifier": IDENTIFIER}),
    SUBSCRIBE: Response(body=b'"OK"'),
}


def invoke(request_id: str = "id", **fields: Any) -> Response:
    """Return an INVOKE with a deadline in the distant future."""
    event = {"eventType": "INVOKE", "deadlineMs": 4_000_000_000_000, "requestId": request_id}
    tracing = {"type": "X-Amzn-Trace-Id", "value": "Root=1-68e00000-000000000000000000000001"}
    arn = "arn:aws:lambda:eu-west-1:111122223333:function:orders"
    return Response(body=json.dumps(event | {"invokedFunctionArn": arn, "tracing": tracing} | fields).encode())


def shutdown(**fields: Any) -> Response:
    """Return a SHUTDOWN with a deadline in the distant future."""
    event = {"eventType": "SHUTDOWN", "deadlineMs": 4_000_000_000_000, "shutdownReason": "spindown"}
    return Response(body=json.dumps(event | fields).encode())


class FakeLambda:
    """Responds from its script. Without an entry, `next` waits for one, and the other calls succeed."""

    def __init__(self) -> None:
        self.script: dict[str, queue.Queue[Response]] = {endpoint: queue.Queue() for endpoint in (*_DEFAULTS, NEXT)}
        self._calls: list[Call] = []
        self._has_called = threading.Condition()
        self._server = _Server(self)
        self.runtime_api = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse connections from now on, and close the one on which `next` waits. May be called repeatedly."""
        self._server.shutdown()
        self.script[NEXT].put(NO_MORE)
        self._server.server_close()

    def respond(self, endpoint: str, *responses: Response) -> None:
        """Append *responses* to the script for calls of *endpoint*."""
        for response in responses:
            self.script[endpoint].put(response)

    @property
    def calls(self) -> list[Call]:
        with self._has_called:
            return list(self._calls)

    @property
    def endpoints(self) -> list[str]:
        return [call.endpoint for call in self.calls]

    def wait_for(self, endpoint: str, count: int = 1) -> Call:
        """Block until *endpoint* has been called *count* times; return that call."""
        with self._has_called:
            assert self._has_called.wait_for(lambda: self._count(endpoint) >= count, 10.0), self._calls
            return [call for call in self._calls if call.endpoint == endpoint][count - 1]

    def response_to(self, call: Call) -> Response:
        with self._has_called:
            self._calls.append(call)
            self._has_called.notify_all()
        responses = self.script[call.endpoint]
        return responses.get() if call.endpoint == NEXT or not responses.empty() else _DEFAULTS[call.endpoint]

    def _count(self, endpoint: str) -> int:
        return sum(call.endpoint == endpoint for call in self._calls)


class _Server(ThreadingHTTPServer):
    # `__exit__` wakes the threads that wait for the script.
    daemon_threads = True
    block_on_close = False

    def __init__(self, fake: FakeLambda) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = fake
        self.connections = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = self.server.connections
        self.server.connections += 1

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"] or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(f"{self.command} {self.path}", headers, self.rfile.read(length), self._number)
        response = self.server.fake.response_to(call)
        self.wfile.write(response.wire)
        self.close_connection = self.close_connection or response.closes

    do_GET = do_PUT = do_POST  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        pass
