"""Resolves host names within the time of an `Attempt`."""

import socket
import threading
from collections.abc import Callable
from typing import Any

from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import FailureKind, RequestError


class Resolver:
    """Resolves each name in a thread of its own: the system's resolver has no timeout. For any thread."""

    def __init__(self, resolve: Callable[[str, int, int], list[Any]] | None = None) -> None:
        self._resolve = resolve or _resolved
        # For `_pending`: senders add lookups, and the lookups' threads remove them.
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, int], _Lookup] = {}

    def addresses(self, host: str, port: int, attempt: Attempt) -> list[Any]:
        """Return what `socket.getaddrinfo` returns. Blocks; raises `RequestError`."""
        try:
            return self._resolve(host, port, socket.AI_NUMERICHOST)
        except OSError:
            pass
        lookup = self._lookup(host, port)
        while not lookup.is_done.wait(attempt.slice_s()):
            pass
        if lookup.error:
            raise RequestError(FailureKind.UNREACHABLE, f"{host}: {lookup.error}")
        return lookup.addresses

    def _lookup(self, host: str, port: int) -> "_Lookup":
        """Return the running lookup of this name, or start one: at most one thread per name."""
        with self._lock:
            lookup = self._pending.get((host, port))
            if lookup is None:
                lookup = self._pending[host, port] = _Lookup()
                threading.Thread(target=self._run, args=(host, port, lookup), daemon=True).start()
        return lookup

    def _run(self, host: str, port: int, lookup: "_Lookup") -> None:
        try:
            lookup.addresses = self._resolve(host, port, 0)
        except OSError as exc:
            lookup.error = exc.strerror or "not found"
        with self._lock:
            del self._pending[host, port]
        lookup.is_done.set()


class _Lookup:
    __slots__ = ("addresses", "error", "is_done")

    def __init__(self) -> None:
        self.is_done = Latch()
        self.addresses: list[Any] = []
        self.error = ""


def _resolved(host: str, port: int, flags: int) -> list[Any]:
    # The name as bytes: for a str, the codec `idna` would be imported.
    return socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM, flags=flags)
