"""An OTLP/HTTP receiver for tests that behaves, or lies, as its script says.

It is a real server on a loopback port: one thread per connection, real resets, real TLS. What it accepts is
decoded with opentelemetry-proto, so a test compares messages and not bytes.
"""

import gzip
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, BinaryIO, Self

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from tests.otlp_messages import (
    LOGS,
    METRICS,
    REQUESTS,
    RESPONSES,
    SPANS,
    Flat,
    count,
    log_records,
    metrics,
    spans,
    without_last,
)

_PROTOBUF = "application/x-protobuf"
# What the specification asks of a receiver: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
_LIMIT_BYTES = 64 * 1024 * 1024


class When(Enum):
    """Where in a request a fault strikes. The head has always been read: it says whose turn it is."""

    BEFORE_BODY = auto()
    MID_BODY = auto()
    AFTER_BODY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Say *status*, with the body that a real receiver would send unless *body* is given.

    A 200 accepts the request but for its last *rejected* items; of a metric these are data points.
    *message* goes into partial_success or into a google.rpc.Status.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    rejected: int = 0
    message: str = ""
    after_s: float = 0.0
    closes_silently: bool = False
    """Keep-alive is promised, and the connection closed behind the answer."""
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """Reset the connection, or end it with a FIN. *accepts*: only the acknowledgement is lost."""

    when: When = When.AFTER_BODY
    resets: bool = True
    accepts: bool = False
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Say nothing until *until* is set, then go on as if nothing had been; closing the collector sets it."""

    when: When = When.AFTER_BODY
    until: threading.Event = field(default_factory=threading.Event)
    accepts: bool = True
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endless:
    """Answer with a body that never ends: as fast as it is read, or one *piece* every *every_s*."""

    status: int = 200
    piece: bytes = b"\x00" * 65536
    every_s: float = 0.0
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Send these bytes instead of an HTTP response, and close."""

    data: bytes
    path: str | None = None


Step = Answer | HangUp | Hang | Endless | Raw

OK = Answer()
DOWN = HangUp(when=When.BEFORE_BODY)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. *status* is what was answered, None where nothing was."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """Without its compression; what was read of it, where that was not all."""
    at_monotonic: float
    connection_number: int
    message: Any
    """The decoded Export…ServiceRequest; None where it was not read whole or does not decode."""
    is_accepted: bool
    status: int | None
    rejected: int = 0
    wire_bytes: int = 0


class _HungUpError(Exception):
    """The connection ends here."""


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
    ) -> None:
        self.limit_bytes = limit_bytes
        self.connections = 0
        """Connections accepted so far, TLS handshakes that failed included."""
        self._tls = None if tls is None else _server_context(tls, client_ca)
        self._received: list[Received] = []
        self._accepted: Counter[str] = Counter()
        self._steps: deque[Step] = deque()
        self._default: Step = OK
        self._changed = threading.Condition()
        self._open: set[_Connection] = set()
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

    def take_step(self, path: str) -> "Step":
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
            self._received.append(received)
            self._changed.notify_all()

    def forget(self, connection: "_Connection") -> None:
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
                connection = _Connection(accepted, self.connections, tls=self._tls, collector=self)
                self._open.add(connection)
                self._changed.notify_all()
            connection.thread.start()


class _Connection:
    """One connection and the thread that serves it."""

    def __init__(
        self, raw: socket.socket, number: int, *, tls: ssl.SSLContext | None, collector: FakeCollector
    ) -> None:
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self._raw = raw
        self._stream = raw
        self._number = number
        self._tls = tls
        self._collector = collector
        self._lock = threading.Lock()
        self._is_dropped = False
        self._waits_for: threading.Event | None = None

    def drop(self) -> None:
        """End the connection wherever its thread is, and wait for the thread."""
        with self._lock:
            self._is_dropped = True
            if self._waits_for is not None:
                self._waits_for.set()
            with suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)
        self.thread.join()

    def _serve(self) -> None:
        try:
            if self._tls is not None:
                # Of a copy: wrapping takes the descriptor away, and `drop` and a reset need one.
                self._stream = self._tls.wrap_socket(self._raw.dup(), server_side=True)
            with self._stream.makefile("rb") as reader:
                while self._exchange(reader):
                    pass
        except (_HungUpError, OSError, ValueError):
            pass  # The client went away or was sent away; what it asked is noted.
        finally:
            with self._lock:
                self._stream.close()
                self._raw.close()
            self._collector.forget(self)

    def _exchange(self, reader: BinaryIO) -> bool:
        """Take one request and answer it; False when the connection is over."""
        if (head := _read_head(reader)) is None:
            return False
        request = _Request(*head, reader=reader, limit_bytes=self._collector.limit_bytes)
        match step := self._collector.take_step(request.path):
            case Answer():
                request.read_all()
                return self._answer(step, request)
            case Hang():
                return self._hang(step, request)
            case HangUp():
                self._hang_up(step, request)
            case Endless():
                request.read_all()
                self._note(request, step.status, is_accepted=False)
                self._answer_for_ever(step)
            case Raw():
                request.read_all()
                self._note(request, None, is_accepted=False)
                self._stream.sendall(step.data)
        return False

    def _answer(self, step: Answer, request: "_Request") -> bool:
        answer = request.refusal or step
        self._note(request, answer.status, is_accepted=answer.status == 200, rejected=answer.rejected)
        if answer.after_s:
            self._wait(threading.Event(), answer.after_s)
        self._stream.sendall(_response(answer, request.path))
        return not (answer.closes_silently or request.is_last)

    def _hang(self, step: Hang, request: "_Request") -> bool:
        if step.when is not When.AFTER_BODY:
            request.read(step.when)
            self._wait(step.until)
            request.read_all()
            return self._answer(OK, request)
        request.read_all()
        answer = request.refusal or OK
        self._note(request, None, is_accepted=step.accepts and answer is OK)
        self._wait(step.until)
        self._stream.sendall(_response(answer, request.path))
        return not request.is_last

    def _hang_up(self, step: HangUp, request: "_Request") -> None:
        request.read(step.when)
        is_accepted = step.accepts and request.refusal is None
        self._note(request, None, is_accepted=is_accepted)
        if step.resets:
            # Closing with a linger time of zero sends RST instead of FIN.
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _answer_for_ever(self, step: Endless) -> None:
        self._stream.sendall(
            f"HTTP/1.1 {step.status} Endless\r\nContent-Type: {_PROTOBUF}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        piece = b"%x\r\n%b\r\n" % (len(step.piece), step.piece)
        while True:
            self._stream.sendall(piece)
            if step.every_s:
                self._wait(threading.Event(), step.every_s)

    def _wait(self, event: threading.Event, timeout_s: float | None = None) -> None:
        with self._lock:
            if self._is_dropped:
                raise _HungUpError
            self._waits_for = event
        event.wait(timeout_s)
        with self._lock:
            self._waits_for = None
            if self._is_dropped:
                raise _HungUpError

    def _note(self, request: "_Request", status: int | None, *, is_accepted: bool, rejected: int = 0) -> None:
        self._collector.note(
            Received(
                path=request.path,
                headers=request.headers,
                body=request.body,
                at_monotonic=time.monotonic(),
                connection_number=self._number,
                message=request.message,
                is_accepted=is_accepted,
                status=status,
                rejected=rejected,
                wire_bytes=len(request.wire),
            )
        )


class _Request:
    """One request while it is being read."""

    def __init__(
        self, method: str, path: str, headers: dict[str, str], *, reader: BinaryIO, limit_bytes: int
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.message: Any = None
        self.wire = b""
        self.body = b""
        self.is_last = headers.get("connection", "").lower() == "close"
        self.refusal: Answer | None = Answer(status=400, message="the body is not whole")
        """What a receiver answers that cannot take this request; None, and `message` set, where it can."""
        self._reader = reader
        self._limit_bytes = limit_bytes

    def read(self, until: When) -> None:
        """Read as much of the body as has been read at *until*."""
        match until:
            case When.BEFORE_BODY:
                pass
            case When.MID_BODY:
                half = max(1, int(self.headers.get("content-length", "2")) // 2)
                self.wire = self.body = self._reader.read(half)
            case When.AFTER_BODY:
                self.read_all()

    def read_all(self) -> None:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self.wire += b"".join(_chunks(self._reader))
        else:
            missing = int(self.headers.get("content-length", "0")) - len(self.wire)
            rest = self._reader.read(missing)
            self.wire += rest
            if len(rest) < missing:
                raise _HungUpError
        self.body = self.wire
        self.refusal = self._judged()

    def _judged(self) -> Answer | None:
        if self.path not in REQUESTS:
            return Answer(status=404, message=f"no such path: {self.path}")
        if self.method != "POST":
            return Answer(status=405, message=f"not allowed: {self.method}")
        if self.headers.get("content-type", "").partition(";")[0].strip() != _PROTOBUF:
            return Answer(status=415, message=f"the content type is not {_PROTOBUF}")
        return self._decode()

    def _decode(self) -> Answer | None:
        match self.headers.get("content-encoding", "identity").lower():
            case "identity":
                pass
            case "gzip":
                try:
                    self.body = gzip.decompress(self.wire)
                except (OSError, EOFError, zlib.error):
                    return Answer(status=400, message="the body is not gzip")
            case encoding:
                return Answer(status=415, message=f"unknown encoding: {encoding}")
        if max(len(self.wire), len(self.body)) > self._limit_bytes:
            return Answer(status=413, message=f"the body is larger than {self._limit_bytes} bytes")
        try:
            self.message = REQUESTS[self.path].FromString(self.body)
        except DecodeError:
            return Answer(status=400, message=f"the body is no {REQUESTS[self.path].__name__}")
        return None


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


def _read_head(reader: BinaryIO) -> tuple[str, str, dict[str, str]] | None:
    """(method, path, headers), or None at the end of the connection."""
    lines = []
    while (line := reader.readline(65536)) not in (b"\r\n", b"\n"):
        if not line:
            return None
        lines.append(line.decode("latin-1").rstrip("\r\n"))
    method, path, _ = lines[0].split(" ", 2)
    headers: dict[str, str] = {}
    for field_line in lines[1:]:
        name, _, value = field_line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return method, path, headers


def _chunks(reader: BinaryIO) -> Iterator[bytes]:
    while size := int(reader.readline(1024).partition(b";")[0], 16):
        yield reader.read(size)
        reader.readline(2)
    while reader.readline(65536) not in (b"\r\n", b"\n", b""):
        pass


def _response(answer: Answer, path: str) -> bytes:
    """Status line, headers and body."""
    body = _body_of(answer, path) if answer.body is None else answer.body
    headers = {"Content-Type": _PROTOBUF, "Content-Length": str(len(body)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _body_of(answer: Answer, path: str) -> bytes:
    if answer.status >= 300:
        return bytes(Status(message=answer.message or f"status {answer.status}").SerializeToString())
    response_type, rejected_field = RESPONSES[path]
    response = response_type()
    if answer.rejected or answer.message:
        setattr(response.partial_success, rejected_field, answer.rejected)
        response.partial_success.error_message = answer.message
    return bytes(response.SerializeToString())
