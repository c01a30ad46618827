"""Sends one request; the only outbound sockets. Decides nothing, and never outlives the `Deadline` given."""

import threading
import zlib
from collections.abc import Iterable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.core.version import VERSION
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint
from telemetry_forwarder.endpoints.urls import host_and_port
from telemetry_forwarder.transport.attempt import (
    Attempt,
    BrokenError,
    TimeIsUpError,
    UnreachableError,
    UntrustedError,
)
from telemetry_forwarder.transport.grpc_client import GrpcClient
from telemetry_forwarder.transport.http_client import HttpClient
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response
from telemetry_forwarder.transport.sockets import MOST_IDLE, Network
from telemetry_forwarder.transport.tls import tls_context

# https://opentelemetry.io/docs/specs/otel/protocol/exporter/#user-agent
_USER_AGENT = f"telemetry-forwarder/{VERSION} OTel-OTLP-Exporter-Python/{VERSION}"

# CPU for 1,000 log lines of 220 bytes, and what is left of them: level 1 1.7 ms and 31 %, level 2 1.8 ms
# and 30 %, level 3 2.1 ms and 30 %, level 6 4.2 ms and 28 %.
_GZIP_LEVEL = 2
_GZIP_FORMAT = 31


class Transport:
    """May be used from several threads at once. Connections are kept and shared between endpoints."""

    def __init__(self, log: Diagnostics) -> None:
        self._log = log
        self._network = Network()
        self._doors: dict[tuple[str, ...], _Door] = {}
        self._ways: dict[Endpoint, _Way] = {}
        self._calls: dict[Endpoint, GrpcClient] = {}
        self._latest: Deadline | None = None
        self._lock = threading.Lock()

    def warm(self, endpoints: Iterable[Endpoint]) -> None:
        """Do in advance what the first request would have to do: certificates. Connects to nobody."""
        for endpoint in endpoints:
            if endpoint.protocol == GRPC:
                self._grpc(endpoint)
            else:
                self._way(endpoint)

    def packed(self, endpoint: Endpoint, body: bytes) -> bytes:
        """*body* as `send` wants it: compressed, where the endpoint is to get it so."""
        # gRPC compresses by itself.
        if endpoint.compression != "gzip" or endpoint.protocol == GRPC:
            return body
        return zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_FORMAT)

    def send(self, endpoint: Endpoint, packed: bytes, deadline: Deadline) -> Response | Failure:
        """Send one request and wait for the answer. Blocks until the deadline at most; raises nothing.

        A connection that died while it was idle, as they do during a freeze, costs no failure: the request
        goes out again at once on another.
        """
        if endpoint.protocol == GRPC:
            return self._grpc(endpoint).send(packed, self._attempt(deadline))
        # Each turn but the last uses up an idle connection.
        for _ in range(MOST_IDLE):
            attempt = self._attempt(deadline)
            outcome = self._exchange(endpoint, packed, attempt)
            if not attempt.is_pooled or not _is_broken(outcome):
                return outcome
        return self._exchange(endpoint, packed, self._attempt(deadline))

    def _attempt(self, deadline: Deadline) -> Attempt:
        return Attempt(deadline, self.left_s)

    def hurry(self, deadline: Deadline) -> None:
        """From now on nothing takes longer than *deadline*, what is under way included. From any thread."""
        self._latest = deadline

    def left_s(self, deadline: Deadline) -> float:
        """Seconds left until *deadline*, or until the one that `hurry` has set."""
        left_s = deadline.left_s()
        return left_s if self._latest is None else min(left_s, self._latest.left_s())

    def close(self) -> None:
        for door in self._doors.values():
            door.close()
        for calls in self._calls.values():
            calls.close()

    def _exchange(self, endpoint: Endpoint, packed: bytes, attempt: Attempt) -> Response | Failure:
        try:
            return self._way(endpoint).exchange(packed, attempt)
        except TimeIsUpError as exc:
            kind = FailureKind.TIMED_OUT if attempt.has_connected else FailureKind.UNREACHABLE
            return Failure(kind, str(exc))
        except UntrustedError as exc:
            return Failure(FailureKind.UNTRUSTED, str(exc))
        except UnreachableError as exc:
            return Failure(FailureKind.UNREACHABLE, str(exc))
        except BrokenError as exc:
            return Failure(FailureKind.BROKEN, str(exc))

    def _grpc(self, endpoint: Endpoint) -> GrpcClient:
        with self._lock:
            if endpoint not in self._calls:
                self._calls[endpoint] = GrpcClient(endpoint, _USER_AGENT, self._log)
            return self._calls[endpoint]

    def _way(self, endpoint: Endpoint) -> "_Way":
        way = self._ways.get(endpoint)
        if way is None:
            with self._lock:
                way = self._door(endpoint).way(endpoint.url, _headers(endpoint))
            self._ways[endpoint] = way
        return way

    def _door(self, endpoint: Endpoint) -> "_Door":
        files = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
        key = (endpoint.proxy, *(() if endpoint.is_insecure else files))
        door = self._doors.get(key)
        if door is None:
            door = self._doors[key] = self._made_door(endpoint, files)
        return door

    def _made_door(self, endpoint: Endpoint, files: tuple[str, str, str]) -> "_Door":
        context = None if endpoint.is_insecure else tls_context(*files, self._log)
        if not endpoint.proxy:
            return HttpClient(context, self._network)
        # httpx is behind it; `warm_up` has imported it where a proxy is set.
        from telemetry_forwarder.transport.proxied import ProxiedClient

        return ProxiedClient(endpoint.proxy, context, self._network)


class _Way(Protocol):
    def exchange(self, packed: bytes, attempt: Attempt) -> Response: ...


class _Door(Protocol):
    def way(self, url: str, headers: Sequence[tuple[bytes, bytes]]) -> _Way: ...

    def close(self) -> None: ...


def _is_broken(outcome: Response | Failure) -> bool:
    return isinstance(outcome, Failure) and outcome.kind is FailureKind.BROKEN


def _headers(endpoint: Endpoint) -> list[tuple[bytes, bytes]]:
    headers = {
        b"host": host_and_port(urlsplit(endpoint.url)).encode(),
        b"user-agent": _USER_AGENT.encode(),
        b"content-type": b"application/x-protobuf",
    }
    if endpoint.compression == "gzip":
        headers[b"content-encoding"] = b"gzip"
    return list((headers | {key.encode(): value.encode() for key, value in endpoint.headers.items()}).items())
