"""Reads the output of processes: lines of stdout and stderr, frames of Lambda's telemetry log fd."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

Sink = Callable[[Sequence[str], int | None], None]
"""Receives log records and their time in ns, None if only the moment of reading is known."""

_CHUNK_BYTES = 1 << 16


class _Stream(Protocol):
    def feed(self, chunk: bytes) -> None: ...
    def end(self) -> None: ...


class Lines:
    """Splits a stream into lines: each is a record, without its newline."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._rest = sink, b""

    def feed(self, chunk: bytes) -> None:
        lines, newline, rest = chunk.rpartition(b"\n")
        if newline:
            self._sink((self._rest + lines).decode(errors="replace").split("\n"), None)
            self._rest = b""
        self._rest += rest

    def end(self) -> None:
        if self._rest:
            self._sink([self._rest.decode(errors="replace")], None)
            self._rest = b""


class Frames:
    """Splits a stream into frames: type 4 B, length 4 B, time in µs 8 B, then the text with its newlines."""

    _HEADER_BYTES = 16

    def __init__(self, sink: Sink) -> None:
        self._sink, self._rest = sink, bytearray()

    def feed(self, chunk: bytes) -> None:
        self._rest += chunk
        while len(self._rest) >= self._HEADER_BYTES:
            end = self._HEADER_BYTES + int.from_bytes(self._rest[4:8], "big")
            if len(self._rest) < end:
                return
            time_ns = int.from_bytes(self._rest[8:16], "big") * 1000
            text = self._rest[self._HEADER_BYTES : end].decode(errors="replace")
            del self._rest[:end]
            self._sink([text], time_ns)

    def end(self) -> None:
        self._rest.clear()


class Output:
    """One thread that reads all streams of a sandbox; `pump` reads in the calling thread."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._listeners: dict[int, tuple[socket.socket, Callable[[], _Stream]]] = {}
        self._lock = threading.RLock()
        self._wake_in, self._wake_out = os.pipe()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="output")
        self._thread.start()

    def add(self, fd: int, stream: _Stream) -> None:
        """Read *fd* to its end, then close it."""
        os.set_blocking(fd, False)
        with self._lock:
            self._streams[fd] = stream
        os.write(self._wake_out, b".")

    def listen(self, path: str, stream: Callable[[], _Stream]) -> None:
        """Accept connections on a Unix socket; each is a stream of its own."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(256)
        listener.setblocking(False)
        with self._lock:
            self._listeners[listener.fileno()] = (listener, stream)
        os.write(self._wake_out, b".")

    def pump(self) -> None:
        """Read and deliver everything that has been written so far."""
        with self._lock:
            for fd in list(self._listeners):
                self._accept(fd)
            for fd in list(self._streams):
                self._read(fd)

    def close(self) -> None:
        self.pump()
        self._is_closed = True
        os.write(self._wake_out, b".")
        self._thread.join()
        with self._lock:
            for fd in list(self._streams):
                self._end(fd)
            for listener, _ in self._listeners.values():
                listener.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _run(self) -> None:
        while not self._is_closed:
            with self._lock:
                fds = [self._wake_in, *self._streams, *self._listeners]
            poll = select.poll()
            for fd in fds:
                poll.register(fd, select.POLLIN)
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_in in ready:
                os.read(self._wake_in, 512)
            with self._lock:
                for fd in ready & self._listeners.keys():
                    self._accept(fd)
                for fd in ready & self._streams.keys():
                    self._read(fd)

    def _accept(self, fd: int) -> None:
        listener, stream = self._listeners[fd]
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                self._streams[connection.detach()] = stream()

    def _read(self, fd: int) -> None:
        while True:
            try:
                chunk = os.read(fd, _CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self._end(fd)
                return
            self._streams[fd].feed(chunk)

    def _end(self, fd: int) -> None:
        self._streams.pop(fd).end()
        os.close(fd)
