"""A small HTTP/1.1 server: one thread per connection, routes from a table. Knows nothing about Lambda."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


class HungUpError(Exception):
    """The client is gone: the connection is closed without a response."""


@dataclass(slots=True)
class Request:
    """One request with its body. Lambda measures responses by the moments of their first and last byte."""

    method: str
    path: str
    headers: Message
    body: bytes
    first_byte_s: float
    last_byte_s: float
    trailers: dict[str, str]
    connection: socket.socket

    def is_connected(self) -> bool:
        """Whether the client can still receive a response."""
        if not select.select([self.connection], [], [], 0)[0]:
            return True
        with contextlib.suppress(OSError):
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        return False


@dataclass(slots=True)
class Reply:
    """The response of a route. Bytes are sent unchanged, anything else as JSON."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    summary: str | None = None
    """Goes into the record of the call."""

    @classmethod
    def error(cls, status: int, error_type: str, message: str) -> Reply:
        return cls(status, {"errorMessage": message, "errorType": error_type}, summary=error_type)


Route = tuple[str, re.Pattern[str], Callable[..., Reply]]


class Server:
    """Serves *routes* on a free port of 127.0.0.1. Closing it closes all connections."""

    def __init__(self, routes: Sequence[Route], watch: Callable[[Request, Callable[[], Reply]], Reply]) -> None:
        self._routes, self._watch = routes, watch
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="lambda-api")
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()

    def respond(self, request: Request) -> Reply:
        return self._watch(request, lambda: self._dispatch(request))

    def _dispatch(self, request: Request) -> Reply:
        path = request.path.split("?")[0]
        for method, pattern, route in self._routes:
            if method == request.method and (match := pattern.fullmatch(path)):
                return route(request, *match.groups())
        return Reply(404, b"404 page not found\n")

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect during a request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Http

    def setup(self) -> None:
        super().setup()
        self.server.owner.opened(self.connection)

    def finish(self) -> None:
        self.server.owner.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (HungUpError, OSError, ValueError):
            self.close_connection = True

    def _serve(self) -> None:
        first_byte_s = time.monotonic()
        body, trailers = self._body()
        request = Request(
            method=self.command,
            path=self.path,
            headers=self.headers,
            body=body,
            first_byte_s=first_byte_s,
            last_byte_s=time.monotonic(),
            trailers=trailers,
            connection=self.connection,
        )
        self._send(self.server.owner.respond(request))

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # http.server requires these names

    def _send(self, reply: Reply) -> None:
        is_raw = isinstance(reply.body, bytes)
        body = reply.body if is_raw else orjson.dumps(reply.body)
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(body)))
        if "Content-Type" not in reply.headers:
            self.send_header("Content-Type", "text/plain" if is_raw else "application/json")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _body(self) -> tuple[bytes, dict[str, str]]:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", 0))), {}
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        trailers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            trailers[name.strip().lower()] = value.strip()
        return b"".join(chunks), trailers

    def log_message(self, *args: Any) -> None:
        """Print nothing: calls are recorded elsewhere."""
