"""One connection to a FakeCollector: reads requests as a real receiver does, and takes the steps of the script."""

import gzip
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from tests.support.collector_script import OK, Endless, Hang, HangUp, Raw, Received, Response, Step, When
from tests.support.otlp_messages import REQUESTS, RESPONSES

_PROTOBUF = "application/x-protobuf"


class Collector(Protocol):
    """What a connection uses of its collector."""

    limit_bytes: int

    def take_step(self, path: str) -> Step: ...

    def note(self, received: Received) -> None: ...

    def forget(self, connection: "Connection") -> None: ...


class HungUpError(Exception):
    """The connection has ended."""


class Connection:
    """One connection and the thread that serves it."""

    def __init__(self, raw: socket.socket, number: int, *, tls: ssl.SSLContext | None, collector: "Collector") -> None:
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self._raw = raw
        self._stream = raw
        self.is_silent = False
        """Whether it responds to nothing."""
        self._number = number
        self._tls = tls
        self.collector = collector
        self._lock = threading.Lock()
        self._is_dropped = False
        self._waits_for: threading.Event | None = None

    def drop(self) -> None:
        """Close the connection, whatever its thread is doing, and wait for the thread."""
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
                # A copy: wrapping detaches the descriptor, which `drop` and a reset need.
                self._stream = self._tls.wrap_socket(self._raw.dup(), server_side=True)
            self.exchange_all(self._stream)
        except (HungUpError, OSError, ValueError):
            pass  # One side closed the connection; the request is noted already.
        finally:
            with self._lock:
                self._stream.close()
                self._raw.close()
            self.collector.forget(self)

    def exchange_all(self, stream: socket.socket) -> None:
        """Read requests and take their steps until the connection ends."""
        with stream.makefile("rb") as reader:
            while (head := _read_head(reader)) is not None:
                self.take(Request(*head, reader=reader, limit_bytes=self.collector.limit_bytes))

    def take(self, request: "Request") -> None:
        """Take the step for *request*. Raises `HungUpError` if the connection is to end."""
        if self.is_silent:
            self._wait(threading.Event())
        match step := self.collector.take_step(request.path):
            case Response():
                request.read_all()
                self._respond(step, request)
            case Hang():
                self._hang(step, request)
            case HangUp():
                self._hang_up(step, request)
                raise HungUpError
            case Endless():
                request.read_all()
                self._note(request, step.status, is_accepted=False)
                self.send_endlessly(step, lambda seconds: self._wait(threading.Event(), seconds))
            case Raw():
                request.read_all()
                self._note(request, None, is_accepted=False)
                self._stream.sendall(step.data)
                raise HungUpError
        if request.is_last:
            raise HungUpError

    def send_response(self, response: Response, path: str) -> None:
        """Send *response*. Raises `HungUpError` if the connection is to end."""
        self._stream.sendall(_response_bytes(response, path))
        if response.closes_silently:
            raise HungUpError

    def _respond(self, step: Response, request: "Request") -> None:
        response = request.refusal or step
        self._note(request, response.status, is_accepted=response.status == 200, rejected=response.rejected)
        if response.after_s:
            self._wait(threading.Event(), response.after_s)
        self.send_response(response, request.path)

    def _hang(self, step: Hang, request: "Request") -> None:
        if step.when is not When.AFTER_BODY:
            request.read(step.when)
            self._wait(step.until)
            request.read_all()
            self._respond(OK, request)
            return
        request.read_all()
        response = request.refusal or OK
        self._note(request, None, is_accepted=step.accepts and response is OK)
        self._wait(step.until)
        self.send_response(response, request.path)

    def _hang_up(self, step: HangUp, request: "Request") -> None:
        request.read(step.when)
        is_accepted = step.accepts and request.refusal is None
        self._note(request, None, is_accepted=is_accepted)
        if step.resets:
            # Closing with a linger time of zero sends RST instead of FIN.
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def send_endlessly(self, step: Endless, wait: Callable[[float], None]) -> None:
        """Send the response that never ends; *wait* waits for some seconds."""
        self._stream.sendall(
            f"HTTP/1.1 {step.status} Endless\r\nContent-Type: {_PROTOBUF}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        piece = b"%x\r\n%b\r\n" % (len(step.piece), step.piece)
        while True:
            self._stream.sendall(piece)
            if step.every_s:
                wait(step.every_s)

    def _wait(self, event: threading.Event, timeout_s: float | None = None) -> None:
        with self._lock:
            if self._is_dropped:
                raise HungUpError
            self._waits_for = event
        event.wait(timeout_s)
        with self._lock:
            self._waits_for = None
            if self._is_dropped:
                raise HungUpError

    def _note(self, request: "Request", status: int | None, *, is_accepted: bool, rejected: int = 0) -> None:
        self.collector.note(
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


class Request:
    """One request, as far as it was read."""

    def __init__(self, method: str, path: str, headers: dict[str, str], *, reader: Any, limit_bytes: int) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.message: Any = None
        self.wire = b""
        self.body = b""
        self.is_last = headers.get("connection", "").lower() == "close"
        self.refusal: Response | None = Response(status=400, message="the body is incomplete")
        """The response if this request cannot be accepted; else None, and `message` is set."""
        self._reader = reader
        self._limit_bytes = limit_bytes

    def read(self, until: When) -> None:
        """Read the body up to *until*."""
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
                raise HungUpError
        self.body = self.wire
        self.refusal = self._refusal()

    def _refusal(self) -> Response | None:
        if self.path not in REQUESTS:
            return Response(status=404, message=f"no such path: {self.path}")
        if self.method != "POST":
            return Response(status=405, message=f"not allowed: {self.method}")
        if self.headers.get("content-type", "").partition(";")[0].strip() != _PROTOBUF:
            return Response(status=415, message=f"the content type is not {_PROTOBUF}")
        return self.refusal_of(encoding=self.headers.get("content-encoding", "identity").lower(), packed=self.wire)

    def refusal_of(self, *, encoding: str, packed: bytes) -> Response | None:
        """Decompress and decode the body; return the response if it cannot be accepted."""
        match encoding:
            case "identity":
                pass
            case "gzip":
                try:
                    self.body = gzip.decompress(packed)
                except (OSError, EOFError, zlib.error):
                    return Response(status=400, message="the body is not gzip")
            case _:
                return Response(status=415, message=f"unknown encoding: {encoding}")
        if max(len(self.wire), len(self.body)) > self._limit_bytes:
            return Response(status=413, message=f"the body is larger than {self._limit_bytes} bytes")
        try:
            self.message = REQUESTS[self.path].FromString(self.body)
        except DecodeError:
            return Response(status=400, message=f"the body is no {REQUESTS[self.path].__name__}")
        return None


def _read_head(reader: BinaryIO) -> tuple[str, str, dict[str, str]] | None:
    """Return (method, path, headers), or None at the end of the connection."""
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


def _response_bytes(response: Response, path: str) -> bytes:
    """Return status line, headers and body."""
    body = body_of(response, path) if response.body is None else response.body
    headers = {"Content-Type": _PROTOBUF, "Content-Length": str(len(body)), **response.headers}
    lines = [f"HTTP/1.1 {response.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def body_of(response: Response, path: str) -> bytes:
    if response.status >= 300:
        return bytes(Status(message=response.message or f"status {response.status}").SerializeToString())
    message_type, rejected_field = RESPONSES[path]
    message = message_type()
    if response.rejected or response.message:
        setattr(message.partial_success, rejected_field, response.rejected)
        message.partial_success.error_message = response.message
    return bytes(message.SerializeToString())
