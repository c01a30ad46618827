"""Where the demo's telemetry goes: to rotel, or through a relay to the back end that `--endpoint` names.

They keep what arrived, so that it can be compared with what the extension says it delivered.
"""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self

import httpx
from google.protobuf.message import DecodeError

from tests.conformance.requirements import rotel_binary
from tests.conformance.rotel import Rotel
from tests.demo.story import Message
from tests.support.collector import FakeCollector
from tests.support.otlp_messages import REQUESTS, RESPONSES, without_last

_LIMIT_S = 30.0
# These belong to one connection; the length and the compression are those of what httpx has read or writes.
_OF_A_CONNECTION = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}


class BackEnd(Protocol):
    """A receiver of OTLP over HTTP, a context manager."""

    @property
    def name(self) -> str: ...

    @property
    def endpoint(self) -> str:
        """The URL for the extension."""

    def messages(self) -> list[Message]:
        """Return everything that arrived, in order."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class RotelReceiver(Rotel):
    """rotel, a collector used in production, which forwards everything to this process."""

    @property
    def name(self) -> str:
        return f"rotel, a collector used in production, at {self.endpoint}"

    def messages(self) -> list[Message]:
        return _accepted(self.collector)


class OwnReceiver(FakeCollector):
    """The receiver of the tests, for a Python without a package of rotel."""

    @property
    def name(self) -> str:
        return f"the tests' receiver at {self.endpoint}: rotel is not installed, it has no package for this Python"

    def messages(self) -> list[Message]:
        return _accepted(self)


def _accepted(collector: FakeCollector) -> list[Message]:
    return [(request.path, request.message) for request in collector.requests if request.is_accepted]


def receiver() -> BackEnd:
    """Return the receiver for a run without `--endpoint`."""
    try:
        rotel_binary()
    except ModuleNotFoundError:
        return OwnReceiver()
    return RotelReceiver()


class Relay:
    """Passes each request of the extension to *url*, and its answer back; keeps what was accepted."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._messages: list[Message] = []
        self._lock = threading.Lock()
        self._client = httpx.Client(timeout=_LIMIT_S)
        self._server = _server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def name(self) -> str:
        return self._url

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()

    def messages(self) -> list[Message]:
        with self._lock:
            return list(self._messages)

    def relay(self, path: str, headers: httpx.Headers, body: bytes) -> httpx.Response:
        """Send one request to the back end and return its answer; 502 if there is none."""
        sent = {name: value for name, value in headers.items() if name not in _OF_A_CONNECTION}
        try:
            response = self._client.post(self._url + path, headers=sent, content=body)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            return httpx.Response(502, text=f"{self._url}: {exc}")
        if response.is_success:
            is_gzip = headers.get("Content-Encoding") == "gzip"
            self._keep(path, gzip.decompress(body) if is_gzip else body, response.content)
        return response

    def _keep(self, path: str, body: bytes, answer: bytes) -> None:
        kind, count = RESPONSES[path]
        try:
            rejected = getattr(kind.FromString(answer).partial_success, count)
        except DecodeError:
            rejected = 0  # As the extension reads it: a 2xx whose body is something else has accepted everything.
        with self._lock:
            self._messages.append((path, without_last(REQUESTS[path].FromString(body), rejected)))


def _server(relay: Relay) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            response = relay.relay(self.path, httpx.Headers(self.headers.items()), body)
            self.send_response(response.status_code)
            for name in ("Content-Type", "Retry-After"):
                if name in response.headers:
                    self.send_header(name, response.headers[name])
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
