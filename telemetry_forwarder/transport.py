"""Sends one request; the only outbound sockets. Decides nothing, and never outlives the `Deadline` given.

By httpcore, which is what httpx itself sends with: all that httpx would add here is 113 of the 680 million
instructions that it takes to import the libraries.
"""

import ssl
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore

from telemetry_forwarder.attempt import Attempt, TimeIsUpError
from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints import GRPC, Endpoint
from telemetry_forwarder.grpc_calls import GrpcCalls
from telemetry_forwarder.replies import Answer, Failure, FailureKind
from telemetry_forwarder.sockets import Network, UntrustedError
from telemetry_forwarder.tls import tls_context
from telemetry_forwarder.urls import bare_netloc
from telemetry_forwarder.version import VERSION

# https://opentelemetry.io/docs/specs/otel/protocol/exporter/#user-agent
_USER_AGENT = f"telemetry-forwarder/{VERSION} OTel-OTLP-Exporter-Python/{VERSION}"

# CPU for 1,000 log lines of 220 bytes, and what is left of them: level 1 1.7 ms and 31 %, level 2 1.8 ms
# and 30 %, level 3 2.1 ms and 30 %, level 6 4.2 ms and 28 %.
_GZIP_LEVEL = 2
_GZIP_FORMAT = 31

_LONGEST_BODY = 65_536
_KEPT_HEADERS = ("content-type", "retry-after", "location")
# One for each signal, and one to spare.
_MOST_IDLE = 4
# Less than the 60 s after which load balancers silently drop what is idle.
_KEEP_ALIVE_S = 55.0
# All that httpcore raises has one of these as its base.
_FAILURES = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


class Transport:
    """May be used from several threads at once. Connections are kept and shared between endpoints."""

    def __init__(self, say: Diagnostics) -> None:
        self._say = say
        self._network = Network()
        self._pools: dict[tuple[str, ...], httpcore.ConnectionPool] = {}
        self._heads: dict[Endpoint, _Head] = {}
        self._calls: dict[Endpoint, GrpcCalls] = {}
        self._latest: Deadline | None = None
        self._lock = threading.Lock()

    def warm(self, endpoints: Iterable[Endpoint]) -> None:
        """Do in advance what the first request would have to do: certificates. Connects to nobody."""
        for endpoint in endpoints:
            if endpoint.protocol == GRPC:
                self._grpc(endpoint)
            else:
                self._head(endpoint)

    def packed(self, endpoint: Endpoint, body: bytes) -> bytes:
        """*body* as `send` wants it: compressed, where the endpoint is to get it so."""
        # gRPC compresses by itself.
        if endpoint.compression != "gzip" or endpoint.protocol == GRPC:
            return body
        return zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_FORMAT)

    def send(self, endpoint: Endpoint, packed: bytes, deadline: Deadline) -> Answer | Failure:
        """Send one request and wait for the answer. Blocks until the deadline at most; raises nothing.

        A connection that died while it was idle, as they do during a freeze, costs no failure: the request
        goes out again at once on another.
        """
        if endpoint.protocol == GRPC:
            return self._grpc(endpoint).send(packed, Attempt(deadline, self.left_s))
        # Each turn but the last uses up an idle connection.
        for _ in range(_MOST_IDLE):
            attempt = Attempt(deadline, self.left_s)
            outcome = self._exchange(endpoint, packed, attempt)
            if not attempt.is_pooled or not _is_broken(outcome):
                return outcome
        return self._exchange(endpoint, packed, Attempt(deadline, self.left_s))

    def hurry(self, deadline: Deadline) -> None:
        """From now on nothing takes longer than *deadline*, what is under way included. From any thread."""
        self._latest = deadline

    def left_s(self, deadline: Deadline) -> float:
        """Seconds left until *deadline*, or until the one that `hurry` has set."""
        left_s = deadline.left_s()
        return left_s if self._latest is None else min(left_s, self._latest.left_s())

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        for calls in self._calls.values():
            calls.close()

    def _exchange(self, endpoint: Endpoint, packed: bytes, attempt: Attempt) -> Answer | Failure:
        head = self._head(endpoint)
        request = httpcore.Request(
            "POST",
            head.url,
            headers=[*head.headers, (b"content-length", b"%d" % len(packed))],
            content=packed,
            extensions={"timeout": {"connect": attempt, "read": attempt, "write": attempt}},
        )
        try:
            return _read(head.pool.handle_request(request))
        except TimeIsUpError as exc:
            kind = FailureKind.TIMED_OUT if attempt.has_connected else FailureKind.UNREACHABLE
            return Failure(kind, str(exc))
        except UntrustedError as exc:
            return Failure(FailureKind.UNTRUSTED, str(exc))
        except httpcore.ConnectError as exc:
            return Failure(FailureKind.UNREACHABLE, str(exc))
        except httpcore.ProxyError as exc:
            return Failure(FailureKind.UNREACHABLE, f"proxy: {exc}")
        except httpcore.LocalProtocolError:
            # Its message may quote a header, and headers are secrets.
            return Failure(FailureKind.BROKEN, "the request is not HTTP")
        except _FAILURES as exc:
            return Failure(FailureKind.BROKEN, str(exc))

    def _grpc(self, endpoint: Endpoint) -> GrpcCalls:
        with self._lock:
            if endpoint not in self._calls:
                self._calls[endpoint] = GrpcCalls(endpoint, _USER_AGENT, self._say)
            return self._calls[endpoint]

    def _head(self, endpoint: Endpoint) -> "_Head":
        head = self._heads.get(endpoint)
        if head is None:
            with self._lock:
                head = _Head(httpcore.URL(endpoint.url), _headers(endpoint), self._pool(endpoint))
            self._heads[endpoint] = head
        return head

    def _pool(self, endpoint: Endpoint) -> httpcore.ConnectionPool:
        files = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
        key = (endpoint.proxy, *(() if endpoint.insecure else files))
        pool = self._pools.get(key)
        if pool is None:
            context = None if endpoint.insecure else tls_context(*files, self._say)
            pool = self._pools[key] = _pool(endpoint.proxy, context, self._network)
        return pool


def _pool(proxy: str, context: ssl.SSLContext | None, network: Network) -> httpcore.ConnectionPool:
    """Connections over a network that keeps deadlines."""
    if not proxy:
        return httpcore.ConnectionPool(
            ssl_context=context,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=network,
        )
    url = urlsplit(proxy)
    return httpcore.HTTPProxy(
        f"http://{bare_netloc(url)}",
        proxy_auth=_credentials(url),
        ssl_context=context,
        max_keepalive_connections=_MOST_IDLE,
        keepalive_expiry=_KEEP_ALIVE_S,
        network_backend=network,
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """All of a request that is the same every time."""

    url: httpcore.URL
    headers: list[tuple[bytes, bytes]]
    pool: httpcore.ConnectionPool


def _is_broken(outcome: Answer | Failure) -> bool:
    return isinstance(outcome, Failure) and outcome.kind is FailureKind.BROKEN


def _headers(endpoint: Endpoint) -> list[tuple[bytes, bytes]]:
    headers = {
        b"host": bare_netloc(urlsplit(endpoint.url)).encode(),
        b"user-agent": _USER_AGENT.encode(),
        b"content-type": b"application/x-protobuf",
    }
    if endpoint.compression == "gzip":
        headers[b"content-encoding"] = b"gzip"
    return list((headers | {key.encode(): value.encode() for key, value in endpoint.headers.items()}).items())


def _credentials(url: SplitResult) -> tuple[str, str] | None:
    if not (url.username or url.password):
        return None
    return unquote(url.username or ""), unquote(url.password or "")


def _read(response: httpcore.Response) -> Answer:
    """The answer with as much of its body as comes in time; the status is the endpoint's word already."""
    body = bytearray()
    try:
        for chunk in response.iter_stream():
            body += chunk
            if len(body) >= _LONGEST_BODY:
                break
    except (*_FAILURES, TimeIsUpError, UntrustedError):
        pass
    finally:
        response.close()
    headers: dict[str, str] = {}
    for name, value in response.headers:
        known = name.decode("latin-1").lower()
        if known in _KEPT_HEADERS:
            text = value.decode("latin-1")
            headers[known] = f"{headers[known]}, {text}" if known in headers else text
    return Answer(response.status, headers, bytes(body[:_LONGEST_BODY]))
