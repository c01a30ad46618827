"""Sends requests through a proxy: httpx and httpcore, on our own connections, which keep deadlines.

Imported only if a proxy is set. httpcore passes timeouts to the network unchanged: here they are an `Attempt`.

Responses are read by the reader that is used without a proxy, and httpcore gets what that has read: httpcore itself
refuses a response with one odd header line, and a request that was accepted would be sent again.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import host_and_port
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.http_client import compressed, read_response, read_tunnel_response, request_headers
from telemetry_forwarder.transport.outcome import MAX_BODY_BYTES, FailureKind, RequestError, Response, response_of
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import KEEP_ALIVE_S, MAX_IDLE, Stream, connect

_TUNNEL = b"HTTP/1.1 200\r\n\r\n"
_NOT_IN_A_VALUE = re.compile(rb"[^\x20-\x7e\x80-\xff]")


class ProxiedClient(httpx.BaseTransport):
    """Keeps connections through the proxy with the URL *proxy*. For any thread."""

    def __init__(self, proxy: str, context: ssl.SSLContext | None, resolver: Resolver) -> None:
        url = urlsplit(proxy)
        credentials = (unquote(url.username or "").encode(), unquote(url.password or "").encode())
        self._pool = httpcore.HTTPProxy(
            f"http://{host_and_port(url)}",
            proxy_auth=credentials if any(credentials) else None,
            ssl_context=context,
            max_keepalive_connections=MAX_IDLE,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=_Backend(resolver),
        )

    def sender(self, endpoint: Endpoint) -> Callable[[bytes, Attempt], Response]:
        """Return a function that sends a body to *endpoint*."""
        headers = request_headers(endpoint)
        try:
            url = httpx.URL(endpoint.url)
        except httpx.InvalidURL:
            # For example, longer than 65,536 characters.
            return _refuse

        def send(body: bytes, attempt: Attempt) -> Response:
            extensions = {"timeout": {"connect": attempt, "read": attempt, "write": attempt}}
            packed = compressed(endpoint, body)
            request = httpx.Request("POST", url, headers=headers, content=packed, extensions=extensions)
            return _read(self.handle_request(request))

        return send

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As for any transport of httpx, but it raises `RequestError`."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        forwarded = httpcore.Request(request.method, target, headers=request.headers.raw, content=request.stream)
        forwarded.extensions = request.extensions
        with _request_errors():
            response = self._pool.handle_request(forwarded)
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        self._pool.close()


def _refuse(body: bytes, attempt: Attempt) -> Response:
    raise RequestError(FailureKind.BROKEN, "httpx, which is used with a proxy, does not accept the URL")


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _request_errors():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def connect_tcp(
        self, host: str, port: int, timeout: Any = None, local_address: str | None = None, socket_options: Any = None
    ) -> httpcore.NetworkStream:
        return _Stream(connect((host, port), timeout, self._resolver))


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._reads: Callable[[Attempt], bytes] | None = None
        """What reads the response, until it was read."""

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        """Return the whole response as one that httpcore accepts, and then nothing."""
        reads, self._reads = self._reads, None
        return reads(timeout) if reads else b""

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        if self._reads is None:
            self._reads = self._open_tunnel if buffer.startswith(b"CONNECT ") else self._read
        self._stream.write(buffer, timeout)

    def _open_tunnel(self, attempt: Attempt) -> bytes:
        read_tunnel_response(self._stream, attempt)
        return _TUNNEL

    def _read(self, attempt: Attempt) -> bytes:
        response, is_last = read_response(self._stream, attempt)
        return _rewritten(response, is_last=is_last)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname or "", timeout))

    def get_extra_info(self, info: str) -> Any:
        return not self._stream.is_usable if info == "is_readable" else None

    def close(self) -> None:
        self._stream.close()


def _rewritten(response: Response, *, is_last: bool) -> bytes:
    """Return a valid response. A body that is not whole stays so: it is declared as one byte longer."""
    lines = [b"HTTP/1.1 %d" % response.status]
    for name, value in response.headers.items():
        lines.append(b"%b: %b" % (name.encode(), _NOT_IN_A_VALUE.sub(b"?", value.encode("latin-1", "replace"))))
    lines.append(b"content-length: %d" % (len(response.body) + (not response.is_whole)))
    if is_last:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", response.body])


@contextmanager
def _request_errors() -> Iterator[None]:
    """Raise the errors of httpcore as `RequestError`, which our own network raises already."""
    try:
        yield
    except httpcore.ProxyError as exc:
        raise RequestError(FailureKind.UNREACHABLE, f"proxy: {exc}") from exc
    except httpcore.LocalProtocolError as exc:
        # Its message may quote a header, and headers are secrets.
        raise RequestError(FailureKind.BROKEN, "the request is not HTTP") from exc
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as exc:
        raise RequestError(FailureKind.BROKEN, str(exc)) from exc


def _read(response: httpx.Response) -> Response:
    """Return the response with as much of its body as is received in time: its status counts already."""
    body, has_ended = bytearray(), False
    with closing(response), suppress(RequestError):
        for chunk in response.iter_raw():
            body += chunk
            if len(body) >= MAX_BODY_BYTES:
                break
        has_ended = True
    return response_of(response.status_code, response.headers, bytes(body[:MAX_BODY_BYTES]), has_ended=has_ended)
