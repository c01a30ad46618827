"""Resolves host names within the time of an `Attempt`."""

import _socket
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import zip_longest
from typing import Any

from telemetry_forwarder.core.sync import Latch
from telemetry_forwarder.errors import ThreadStartError
from telemetry_forwarder.startup.threads import start_thread
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.outcome import FailureKind, RequestError

_MAX_AVOIDED = 16


class Resolver:
    """Resolves each name in a thread of its own: the system's resolver has no timeout. For any thread."""

    def __init__(self, resolve: Callable[[str, int, int], list[Any]] | None = None) -> None:
        self._resolve = resolve or _resolved
        # For `_pending`: senders add lookups, and the lookups' threads remove them.
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, int], _Lookup] = {}
        self._preferred: dict[tuple[str, int], Any] = {}
        """By host and port, the address that has accepted the last connection."""
        self._avoided: dict[tuple[str, int], list[Any]] = {}
        """Addresses at which requests have failed, the latest last."""

    def addresses(self, host: str, port: int, attempt: Attempt) -> list[Any]:
        """Return what `socket.getaddrinfo` returns, in the order in which to try. Blocks; raises `RequestError`."""
        with suppress(OSError):
            return self._ordered((host, port), self._resolve(host, port, _socket.AI_NUMERICHOST))
        with self._lock:
            # At most one thread per name.
            lookup = self._pending.get((host, port)) or self._start(host, port)
        while not lookup.is_done.wait(attempt.slice_s()):
            pass
        if lookup.error:
            raise RequestError(FailureKind.UNREACHABLE, f"{host}: {lookup.error}")
        return self._ordered((host, port), lookup.addresses)

    def prefer(self, server: tuple[str, int], address: Any) -> None:
        """Try *address* first from now on: it has accepted a connection."""
        with self._lock:
            self._preferred[server] = address
            self._avoided[server] = [each for each in self._avoided.get(server, ()) if each != address]

    def avoid(self, server: tuple[str, int], address: Any) -> None:
        """Try *address* last from now on: it has accepted a connection, but the request failed."""
        with self._lock:
            if self._preferred.get(server) == address:
                del self._preferred[server]
            others = [each for each in self._avoided.get(server, ()) if each != address]
            self._avoided[server] = [*others, address][-_MAX_AVOIDED:]

    def _ordered(self, server: tuple[str, int], addresses: list[Any]) -> list[Any]:
        with self._lock:
            preferred, avoided = self._preferred.get(server), list(self._avoided.get(server, ()))

        def rank(address_info: Any) -> int:
            address = address_info[4]
            if address == preferred:
                return -1
            return avoided.index(address) + 1 if address in avoided else 0

        return sorted(_interleaved(addresses), key=rank)

    def _start(self, host: str, port: int) -> "_Lookup":
        lookup = _Lookup()
        try:
            start_thread(threading.Thread(target=self._run, args=(host, port, lookup), name=host, daemon=True))
        except ThreadStartError as exc:
            # A lookup without a thread would never be done.
            raise RequestError(FailureKind.UNREACHABLE, str(exc)) from exc
        self._pending[host, port] = lookup
        return lookup

    def _run(self, host: str, port: int, lookup: "_Lookup") -> None:
        try:
            lookup.addresses = self._resolve(host, port, 0)
        except (OSError, ValueError, MemoryError) as exc:
            lookup.error = getattr(exc, "strerror", "") or str(exc) or "not found"
        finally:
            # In any case: as long as it is pending, no other lookup of the name begins.
            with self._lock:
                del self._pending[host, port]
            lookup.is_done.set()


class _Lookup:
    __slots__ = ("addresses", "error", "is_done")

    def __init__(self) -> None:
        self.is_done = Latch()
        self.addresses: list[Any] = []
        self.error = ""


def _interleaved(addresses: list[Any]) -> list[Any]:
    """Return *addresses* with their families taking turns, beginning with the first: RFC 8305, 4."""
    families: dict[int, list[Any]] = {}
    for each in addresses:
        families.setdefault(each[0], []).append(each)
    rounds = zip_longest(*families.values())
    return [each for turn in rounds for each in turn if each is not None]


def _resolved(host: str, port: int, flags: int) -> list[Any]:
    # The name as bytes: for a str, the codec `idna` would be imported.
    return _socket.getaddrinfo(host.encode(), port, type=_socket.SOCK_STREAM, flags=flags)
