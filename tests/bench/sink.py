"""An OTLP/HTTP receiver that uses little CPU: it decodes nothing before the end."""

import gzip
import socket
import threading
import time
from typing import Self

from tests.support.otlp_messages import REQUESTS, count


class Sink:
    """Listens on a loopback port; responds to each request after *after_s*."""

    def __init__(self, after_s: float = 0.0, *, keeps: bool = True) -> None:
        self._after_s = after_s
        self._keeps = keeps
        self._kept: list[tuple[str, bool, bytes]] = []
        self.requests = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def items(self, path: str = "/v1/logs") -> int:
        """Return the number of log records, spans or data points that *path* received."""
        total = 0
        for to, is_packed, body in list(self._kept):
            if to == path:
                total += count(REQUESTS[path].FromString(gzip.decompress(body) if is_packed else body))
        return total

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                length, is_packed = 0, False
                while (field := reader.readline().lower()).strip():
                    if field.startswith(b"content-length:"):
                        length = int(field.split(b":")[1])
                    is_packed |= field.startswith(b"content-encoding: gzip")
                try:
                    body = reader.read(length)
                except OSError:
                    return
                self.requests += 1
                if self._keeps:
                    self._kept.append((line.split()[1].decode(), is_packed, body))
                if self._after_s:
                    time.sleep(self._after_s)
                try:
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
                    )
                except OSError:
                    return
