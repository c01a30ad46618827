"""An OTLP/HTTP receiver for tests that follows a script.

It is a real server on a loopback port: one thread per connection, real resets, real TLS. Accepted requests are
decoded with opentelemetry-proto, so a test compares messages and not bytes.
"""

import socket
import ssl
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from tests.support.collector_connection import Connection
from tests.support.collector_script import DOWN, OK, Endless, Hang, HangUp, Raw, Received, Response, Step, When
from tests.support.otlp_messages import LOGS, METRICS, SPANS, Flat, count, log_records, metrics, spans, without_last

__all__ = ["DOWN", "OK", "Endless", "FakeCollector", "Hang", "HangUp", "Raw", "Received", "Response", "Step", "When"]

# What the specification requires of a receiver: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
_LIMIT_BYTES = 64 * 1024 * 1024


class FakeCollector:
    """An OTLP/HTTP receiver. For any thread.

    *tls* is (certificate file, key file); with *client_ca* a client needs a certificate of that authority.
    Bodies over *limit_bytes*, compressed or not, are refused with 413; the attribute may be changed at any time.
    A *listener* from another network namespace can be used once: after `refuse` it does not listen again.
    """

    def __init__(
        self,
        *,
        tls: tuple[str, str] | None = None,
        client_ca: str | None = None,
        limit_bytes: int = _LIMIT_BYTES,
        listener: socket.socket | None = None,
        remember: bool = True,
        grpc: bool = False,
    ) -> None:
        """Without *remember* only the counts of `accepted` are kept."""
        self.is_grpc = grpc
        self._remembers = remember
        self.limit_bytes = limit_bytes
        self.connections = 0
        """Connections accepted so far, including those whose TLS handshake failed."""
        self._tls = None if tls is None else _server_context(tls, client_ca, grpc=grpc)
        self._received: list[Received] = []
        self._accepted: Counter[str] = Counter()
        self._steps: deque[Step] = deque()
        self._default: Step = OK
        self._changed = threading.Condition()
        self._open: set[Connection] = set()
        # Bound, but never listening: reserves the port while connections are refused.
        self._holder = listener or _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._listener = listener
        self._acceptor = threading.Thread()
        self._new_connection: type[Connection] = Connection
        if grpc:
            # Its libraries are not installed wherever the layer is tested.
            from tests.support.collector_grpc import GrpcConnection

            self._new_connection = GrpcConnection

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._holder.close()

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    # What has happened.

    @property
    def requests(self) -> list[Received]:
        """Every request, accepted or not, in the order in which they ended."""
        with self._changed:
            return list(self._received)

    def accepted(self, path: str) -> int:
        """Return how many log records, spans or data points were accepted. Cheap, unlike `logs`."""
        with self._changed:
            return self._accepted[path]

    def logs(self) -> list[Flat]:
        """Return (resource attributes, scope, LogRecord) of each accepted log record, in order."""
        return [record for message in self._kept(LOGS) for record in log_records(message)]

    def spans(self) -> list[Flat]:
        """Return (resource attributes, scope, Span) of each accepted span, in order."""
        return [span for message in self._kept(SPANS) for span in spans(message)]

    def metrics(self) -> list[Flat]:
        """Return (resource attributes, scope, Metric) of each accepted metric, in order."""
        return [metric for message in self._kept(METRICS) for metric in metrics(message)]

    def wait_for(self, predicate: Callable[[], object], timeout_s: float) -> bool:
        """Wait until *predicate* holds, and return whether it does. Called after each request and connection."""
        with self._changed:
            return bool(self._changed.wait_for(predicate, timeout_s))

    def _kept(self, path: str) -> Iterator[Any]:
        for request in self.requests:
            if request.is_accepted and request.path == path:
                yield without_last(request.message, request.rejected)

    # What is to happen.

    def script(self, *steps: Step, then: Step = OK) -> None:
        """Take one of *steps* for each request from now on, then *then*; replaces the last script.

        A step with a path is for the next request to that path; other requests take the steps after it.
        """
        with self._changed:
            self._steps = deque(steps)
            self._default = then

    def listen(self) -> None:
        """Accept connections, at first or after `refuse`."""
        self._listener = self._listener or _bound(self.port)
        self._listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def refuse(self) -> None:
        """Accept no connections, and close the open ones. `listen` uses the same port again."""
        if self._listener is not None:
            # Closing alone does not wake a thread that is in `accept`.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            self._listener.close()
            self._listener = None
        self.drop_connections()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.refuse()
        try:
            yield
        finally:
            self.listen()

    def drop_connections(self) -> None:
        """Close every open connection, as load balancers do with idle ones. Blocks until that is done."""
        with self._changed:
            dropped = list(self._open)
        for connection in dropped:
            connection.drop()

    def silence_connections(self) -> None:
        """Leave every open connection open, but respond to nothing on it any more."""
        with self._changed:
            for connection in self._open:
                connection.is_silent = True

    # Called by the connections.

    def take_step(self, path: str) -> Step:
        """Take the step for a request to *path* from the script."""
        with self._changed:
            for index, step in enumerate(self._steps):
                if step.path in (None, path):
                    del self._steps[index]
                    return step
            return self._default if self._default.path in (None, path) else OK

    def note(self, received: Received) -> None:
        with self._changed:
            if received.is_accepted:
                self._accepted[received.path] += max(0, count(received.message) - received.rejected)
            if self._remembers:
                self._received.append(received)
            self._changed.notify_all()

    def forget(self, connection: Connection) -> None:
        with self._changed:
            self._open.discard(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self.connections += 1
                connection = self._new_connection(accepted, self.connections, tls=self._tls, collector=self)
                self._open.add(connection)
                self._changed.notify_all()
            connection.thread.start()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _server_context(tls: tuple[str, str], client_ca: str | None, *, grpc: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if grpc:
        context.set_alpn_protocols(["h2"])
    context.load_cert_chain(*tls)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
