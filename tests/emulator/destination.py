"""Sends batches to an extension: as HTTP POST of a JSON array, or as lines of JSON over TCP."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from .clock import SandboxClock

# Whichever of its names the extension used: the sandbox is this host.
_HOST = "127.0.0.1"
_SLICE_MS = 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where an extension wants its telemetry sent."""

    protocol: str
    port: int
    path: str = "/"

    @classmethod
    def of_uri(cls, uri: str) -> Address:
        parts = urlsplit(uri)
        return cls("HTTP", parts.port or 80, parts.path or "/")


class Destination:
    """One connection, kept alive and reopened when it breaks. `send` never raises.

    Timeouts are measured on the sandbox's clock, so they do not run while it is frozen.
    """

    def __init__(
        self, address: Address, clock: SandboxClock, timeout_s: float, is_cancelled: Callable[[], bool]
    ) -> None:
        self._address, self._clock, self._timeout_s = address, clock, timeout_s
        self._is_cancelled = is_cancelled
        self._socket: socket.socket | None = None

    def send(self, payloads: list[bytes]) -> int | None:
        """Send a batch; return the HTTP status, 0 for TCP, None without a response."""
        was_open = self._socket is not None
        status = self._try(payloads)
        if status is None and was_open and not self._is_cancelled():
            # The kept connection may have been closed meanwhile, which is no failure of the batch.
            status = self._try(payloads)
        return status

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _try(self, payloads: list[bytes]) -> int | None:
        try:
            if self._socket is None:
                self._socket = socket.create_connection((_HOST, self._address.port), timeout=self._timeout_s)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket.setblocking(False)
            if self._address.protocol == "TCP":
                self._write(b"".join(payload + b"\n" for payload in payloads))
                return 0
            return self._post(b"[" + b",".join(payloads) + b"]")
        except (OSError, ValueError):
            self.close()
            return None

    def _post(self, body: bytes) -> int:
        sequence_id = base64.b64encode(hashlib.sha256(body).digest()).decode()
        head = (
            f"POST {self._address.path} HTTP/1.1\r\nHost: sandbox.localdomain:{self._address.port}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nSequence-Id: {sequence_id}\r\n\r\n"
        )
        self._write(head.encode() + body)
        response = b""
        while b"\r\n\r\n" not in response:
            response += self._read()
        head_bytes, _, rest = response.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length:\s*(\d+)", head_bytes)
        while len(rest) < (int(length[1]) if length else 0):
            rest += self._read()
        if not length or re.search(rb"(?im)^connection:\s*close", head_bytes):
            self.close()
        return int(head_bytes.split(b" ", 2)[1])

    def _write(self, data: bytes) -> None:
        assert self._socket is not None
        view = memoryview(data)
        while view:
            self._wait(select.POLLOUT)
            with contextlib.suppress(BlockingIOError):
                view = view[self._socket.send(view) :]

    def _read(self) -> bytes:
        assert self._socket is not None
        self._wait(select.POLLIN)
        if chunk := self._socket.recv(1 << 16):
            return chunk
        raise ConnectionError("closed by the extension")

    def _wait(self, event: int) -> None:
        assert self._socket is not None
        poll = select.poll()
        poll.register(self._socket, event)
        deadline_s = self._clock.now() + self._timeout_s
        while not poll.poll(_SLICE_MS):
            if self._is_cancelled() or self._clock.now() > deadline_s:
                raise TimeoutError("no response from the extension")
