"""An OTLP/HTTP receiver for tests that behaves, or lies, as its script says.

It is a real server on a loopback port: one thread per connection, real resets, real TLS. What it accepts is
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
from tests.support.collector_script import (
    DOWN,
    OK,
    Endless,
    Hang,
    HangUp,
    Raw,
    Received,
    Response,
    Step,
    When,
)
from tests.support.otlp_messages import (
    LOGS,
    METRICS,
    SPANS,
    Flat,
    count,
    log_records,
    metrics,
    spans,
    without_last,
)

__all__ = [
    "DOWN",
    "OK",
    "Endless",
    "FakeCollector",
    "Hang",
    "HangUp",
    "Raw",
    "Received",
    "Response",
    "Step",
    "When",
]

# What the specification asks of a receiver: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
_LIMIT_BYTES = 64 * 1024 * 1024


class FakeCollector:
    """An OTLP/HTTP receiver; everything public may be called from any thread.

    *tls* is (certificate file, key file); with *client_ca* a client has to show a certificate of that CA.
    Bodies over *limit_bytes*, compressed or not, are answered 413; the attribute may be changed at any time.
    A *listener* made elsewhere, in another network namespace, is listened on and cannot be listened on again.
    """

    def __init__(
        self,
        *,
        tls: tuple[str, str] | None = None,
        client_ca: str | None = None,
        limit_bytes: int = _LIMIT_BYTES,
        listener: socket.socket | None = None,
        remember: bool = True,
    ) -> None:
        """Without *remember* only `accepted` knows what came."""
        self._remembers = remember
        self.limit_bytes = limit_bytes
        self.connections = 0
        """Connections accepted so far, TLS handshakes that failed included."""
        self._tls = None if tls is None else _server_context(tls, client_ca)
        self._received: list[Received] = []
        self._accepted: Counter[str] = Counter()
        self._steps: deque[Step] = deque()
        self._default: Step = OK
        self._changed = threading.Condition()
        self._open: set[Connection] = set()
        # Bound and never listening: keeps the port ours while connections are to be refused.
        self._holder = listener or _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._listener = listener
        self._acceptor = threading.Thread()

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._holder.close()

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    # What happened

    @property
    def requests(self) -> list[Received]:
        """Every request in the order of its outcome, accepted or not."""
        with self._changed:
            return list(self._received)

    def accepted(self, path: str) -> int:
        """How many log records, spans or data points were accepted; cheap, unlike `logs()`."""
        with self._changed:
            return self._accepted[path]

    def logs(self) -> list[Flat]:
        """(resource attributes, scope, LogRecord) of what was accepted, in order."""
        return [record for message in self._kept(LOGS) for record in log_records(message)]

    def spans(self) -> list[Flat]:
        """(resource attributes, scope, Span) of what was accepted, in order."""
        return [span for message in self._kept(SPANS) for span in spans(message)]

    def metrics(self) -> list[Flat]:
        """(resource attributes, scope, Metric) of what was accepted, in order."""
        return [metric for message in self._kept(METRICS) for metric in metrics(message)]

    def wait_for(self, predicate: Callable[[], object], timeout_s: float) -> bool:
        """Wait until *predicate* holds; it is asked again after every request and connection."""
        with self._changed:
            return bool(self._changed.wait_for(predicate, timeout_s))

    def _kept(self, path: str) -> Iterator[Any]:
        for request in self.requests:
            if request.is_accepted and request.path == path:
                yield without_last(request.message, request.rejected)

    # What shall happen

    def script(self, *steps: Step, then: Step = OK) -> None:
        """Take one step for each coming request, then *then* for ever; the rest of the last script is void.

        A step with a path waits for a request to that path, and lets others pass to the steps behind it.
        """
        with self._changed:
            self._steps = deque(steps)
            self._default = then

    def listen(self) -> None:
        """Accept connections (again)."""
        self._listener = self._listener or _bound(self.port)
        self._listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def refuse(self) -> None:
        """Go down: no connection is accepted, the open ones end. `listen` comes back on the same port."""
        if self._listener is not None:
            # A close alone does not wake a thread that is inside accept.
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
        """End every open connection silently, as load balancers do with idle ones; back when it is done."""
        with self._changed:
            dropped = list(self._open)
        for connection in dropped:
            connection.drop()

    # Called by the connections

    def take_step(self, path: str) -> Step:
        """The step for a request to *path*; it will not be given out again."""
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
                connection = Connection(accepted, self.connections, tls=self._tls, collector=self)
                self._open.add(connection)
                self._changed.notify_all()
            connection.thread.start()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _server_context(tls: tuple[str, str], client_ca: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
