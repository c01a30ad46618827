"""The way through a proxy: httpx's, over our own network, which keeps deadlines; httpx has no parameter for that.

Imported where a proxy is set. httpcore's timeouts are handed through to the network unseen, and here they are an
`Attempt`.
"""

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore
import httpx

from telemetry_forwarder.endpoints.urls import host_and_port
from telemetry_forwarder.transport.attempt import (
    Attempt,
    BrokenError,
    TimeIsUpError,
    UnreachableError,
    UntrustedError,
)
from telemetry_forwarder.transport.outcome import KEPT_HEADERS, LONGEST_BODY, Response
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MOST_IDLE, Network, Stream


class ProxiedClient(httpx.HTTPTransport):
    """As `Direct`, through the proxy of the URL *proxy*."""

    def __init__(self, proxy: str, context: ssl.SSLContext | None, network: Network) -> None:
        url = urlsplit(proxy)
        self._pool = httpcore.HTTPProxy(
            f"http://{host_and_port(url)}",
            proxy_auth=_credentials(url),
            ssl_context=context,
            max_keepalive_connections=MOST_IDLE,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=_Backend(network),
        )

    def way(self, url: str, headers: Sequence[tuple[bytes, bytes]]) -> "_Way":
        """The way to *url*, plain ASCII without credentials, for requests with *headers*."""
        return _Way(self, httpx.URL(url), headers)


class _Way:
    def __init__(self, door: ProxiedClient, url: httpx.URL, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._door = door
        self._url = url
        self._headers = headers

    def exchange(self, packed: bytes, attempt: Attempt) -> Response:
        """Send one request and read the answer. Blocks.

        Raises `UnreachableError`, `UntrustedError`, `BrokenError` and `TimeIsUpError`.
        """
        request = httpx.Request(
            "POST",
            self._url,
            headers=[*self._headers, (b"content-length", b"%d" % len(packed))],
            stream=httpx.ByteStream(packed),
            extensions={"timeout": {"connect": attempt, "read": attempt, "write": attempt}},
        )
        try:
            return _read(self._door.handle_request(request))
        except httpx.ProxyError as exc:
            raise UnreachableError(f"proxy: {exc}") from exc
        except httpx.LocalProtocolError as exc:
            # Its message may quote a header, and headers are secrets.
            raise BrokenError("the request is not HTTP") from exc
        except httpx.TransportError as exc:
            raise BrokenError(str(exc)) from exc


class _Backend(httpcore.NetworkBackend):
    def __init__(self, network: Network) -> None:
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._network.connect(host, port, timeout))


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        self._stream.write(buffer, timeout)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname or "", timeout))

    def get_extra_info(self, info: str) -> Any:
        return not self._stream.is_usable if info == "is_readable" else None

    def close(self) -> None:
        self._stream.close()


def _credentials(url: SplitResult) -> tuple[str, str] | None:
    if not (url.username or url.password):
        return None
    return unquote(url.username or ""), unquote(url.password or "")


def _read(response: httpx.Response) -> Response:
    """The answer with as much of its body as comes in time; the status is the endpoint's word already."""
    body = bytearray()
    try:
        for chunk in response.stream:  # type: ignore[union-attr]
            body += chunk
            if len(body) >= LONGEST_BODY:
                break
    except (httpx.TransportError, BrokenError, TimeIsUpError, UntrustedError):
        pass
    finally:
        response.close()
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return Response(response.status_code, headers, bytes(body[:LONGEST_BODY]))
