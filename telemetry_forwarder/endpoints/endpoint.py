"""Reads from the environment where and how each signal is sent. Pure; an invalid value is a problem, never an error.

If our ENDPOINT and OpenTelemetry's name two different servers, the shared HEADERS, PROTOCOL, INSECURE and certificates
are those of the other server and are not used: a secret is only sent to the server that it was set for.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from telemetry_forwarder.core.batch import SIGNALS
from telemetry_forwarder.endpoints import urls
from telemetry_forwarder.endpoints.options import OWN, SHARED, find, reject
from telemetry_forwarder.endpoints.proxies import find_proxy

GRPC = "grpc"
HTTP_PROTOBUF = "http/protobuf"

_HTTP_JSON = "http/json"
_TIMEOUT_S = 10.0
# The specification says milliseconds, Python's SDK reads seconds. No export can be expected to end within 0.1 s.
_MIN_TIMEOUT_MS = 100
_GRPC_PORT, _HTTP_PORT = 4317, 4318

_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# These follow from the body and the connection; any other value would be wrong.
_RESERVED = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how one signal is sent. The URL is plain ASCII, with a path and without credentials."""

    signal: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    """Keys in lower case. Values are secrets."""
    timeout_s: float = _TIMEOUT_S
    """For one batch, including all retries."""
    compression: str = "gzip"
    """`gzip` or `none`."""
    protocol: str = HTTP_PROTOBUF
    """`http/protobuf` or `grpc`."""
    certificate: str = ""
    """Path of the trusted certificate authorities; empty for the system's."""
    client_key: str = ""
    client_certificate: str = ""
    proxy: str = field(default="", repr=False)
    """URL, possibly with credentials; empty for none."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: one origin is one connection, and the part of the URL that may be logged."""
        return urlunsplit(urlsplit(self.url)._replace(path="", query=""))

    @property
    def is_insecure(self) -> bool:
        return self.url.startswith("http:")


def read_endpoints(
    environ: Mapping[str, str],
    problems: list[str],
    *,
    signals: Collection[str] = SIGNALS,
    has_grpc: bool = False,
) -> dict[str, Endpoint]:
    """Return the endpoint of each of *signals*; append one sentence to *problems* for each invalid value."""
    reader = _Reader(environ, problems, has_grpc=has_grpc)
    endpoints = {signal: reader.endpoint(signal) for signal in signals}
    if missing := [signal for signal in endpoints if not reader.find(signal, "ENDPOINT")[1]]:
        complaint = f"no endpoint is set for {', '.join(missing)}"
        reject(problems, f"{SHARED[0]}ENDPOINT", complaint, endpoints[missing[0]].origin)
    return endpoints


class _Reader:
    """Reads the options of one signal and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], problems: list[str], *, has_grpc: bool) -> None:
        self._environ = environ
        self._problems = problems
        self._has_grpc = has_grpc

    def find(self, signal: str, option: str, prefixes: tuple[str, ...] = OWN + SHARED) -> tuple[str, str]:
        return find(self._environ, signal, option, prefixes)

    def endpoint(self, signal: str) -> Endpoint:
        prefixes = OWN if self._has_own_server(signal) else OWN + SHARED

        def find_for_server(option: str) -> tuple[str, str]:
            return self.find(signal, option, prefixes)

        name, value = find_for_server("PROTOCOL")
        wanted = self._choice(name, value, choices=(HTTP_PROTOBUF, GRPC, _HTTP_JSON))
        protocol = self._supported_protocol(name, wanted)
        is_insecure = self._choice(*find_for_server("INSECURE"), choices=("false", "true"))
        url = self._url(signal, wanted, is_insecure=is_insecure == "true")
        if wanted == GRPC != protocol:
            url = _over_http(url, signal)
        return Endpoint(
            signal=signal,
            url=urlunsplit(url._replace(netloc=urls.host_and_port(url))),
            headers=urls.authorization_header(url) | self._headers(*find_for_server("HEADERS")),
            timeout_s=self._timeout_s(*self.find(signal, "TIMEOUT")),
            compression=self._choice(*self.find(signal, "COMPRESSION"), choices=("gzip", "none")),
            protocol=protocol,
            certificate=find_for_server("CERTIFICATE")[1] or self._environ.get("SSL_CERT_FILE", "").strip(),
            client_key=find_for_server("CLIENT_KEY")[1],
            client_certificate=find_for_server("CLIENT_CERTIFICATE")[1],
            proxy=find_proxy(url, self._environ, self._problems),
        )

    def _has_own_server(self, signal: str) -> bool:
        """Return whether our own ENDPOINT and the shared one are two different servers."""
        own = self.find(signal, "ENDPOINT", OWN)[1]
        shared = self.find(signal, "ENDPOINT", SHARED)[1]
        return bool(own and shared) and _server(own) != _server(shared)

    def _choice(self, name: str, value: str, *, choices: tuple[str, ...]) -> str:
        """Return one of *choices*; the first is the default."""
        if value.lower() in choices:
            return value.lower()
        if value:
            complaint = f"{value[:60]!r} is not one of {', '.join(choices)}"
            reject(self._problems, name, complaint, choices[0])
        return choices[0]

    def _supported_protocol(self, name: str, wanted: str) -> str:
        if wanted == _HTTP_JSON:
            reject(self._problems, name, f"{wanted!r} is not supported", HTTP_PROTOBUF)
            return HTTP_PROTOBUF
        if wanted == GRPC and not self._has_grpc:
            used = f"{HTTP_PROTOBUF} (port {_HTTP_PORT} for {_GRPC_PORT})"
            reject(self._problems, name, f"{wanted!r} needs grpcio, which is not installed", used)
            return HTTP_PROTOBUF
        return wanted

    def _url(self, signal: str, protocol: str, *, is_insecure: bool) -> SplitResult:
        name, value = self.find(signal, "ENDPOINT")
        default = urlsplit(f"http://localhost:{_GRPC_PORT if protocol == GRPC else _HTTP_PORT}")
        text = urls.add_scheme(value)
        if protocol == GRPC and "://" not in value:
            text = f"{'http' if is_insecure else 'https'}://{value}"
        url = urls.parse_url(text) if value else default
        if url is None:
            shown = f"{urls.redact_url(value)!r} is" if urls.redact_url(value) else "is"
            complaint = f"{shown} not a http:// or https:// URL"
            reject(self._problems, name, complaint, urlunsplit(default))
            url = default
        elif text != value and value and protocol != GRPC:
            origin = f"{url.scheme}://{url.netloc}"
            reject(self._problems, name, "has neither http:// nor https://", origin)
        if protocol == GRPC:
            return url._replace(path=url.path or "/")
        if url is default or not name.endswith(f"{signal.upper()}_ENDPOINT"):
            return url._replace(path=f"{url.path.rstrip('/')}/v1/{signal}")
        return url._replace(path=url.path or "/")

    def _timeout_s(self, name: str, value: str) -> float:
        try:
            timeout_ms = float(value or "0")
        except ValueError:
            timeout_ms = math.nan
        if not 0 <= timeout_ms < math.inf:
            complaint = f"{value[:60]!r} is not a number of milliseconds"
            reject(self._problems, name, complaint, f"{_TIMEOUT_S * 1_000:.0f}")
            return _TIMEOUT_S
        if 0 < timeout_ms < _MIN_TIMEOUT_MS:
            complaint = f"{value[:60]!r} is too short for milliseconds"
            reject(self._problems, name, complaint, f"{timeout_ms:g} seconds")
            return timeout_ms
        return timeout_ms / 1_000 or _TIMEOUT_S

    def _headers(self, name: str, value: str) -> dict[str, str]:
        """Parse `k1=v1,k2=v2`, values URL-encoded. A problem never contains a value, nor an entry without a key."""
        headers = {}
        for number, pair in enumerate(value.split(","), 1):
            key, equals, text = (part.strip() for part in pair.partition("="))
            text = unquote(text)
            if not equals or not _TOKEN.fullmatch(key.lower()) or _CONTROL.search(text):
                if pair.strip():
                    reject(self._problems, name, f"entry {number} is not key=value", "the other entries")
            elif key.lower() in _RESERVED:
                reject(self._problems, name, f"{key!r} is set by the extension", "its own value")
            else:
                headers[key.lower()] = text
        return headers


def _server(text: str) -> tuple[str, str] | None:
    url = urls.parse_url(urls.add_scheme(text))
    return url and (url.scheme, urls.host_and_port(url))


def _over_http(url: SplitResult, signal: str) -> SplitResult:
    """Return the URL at which a collector with the gRPC endpoint *url* accepts HTTP."""
    port = _HTTP_PORT if url.port == _GRPC_PORT else url.port
    host = url.netloc if url.port is None else url.netloc.rpartition(":")[0]
    path = url.path if url.path != "/" else f"/v1/{signal}"
    return url._replace(netloc=host if port is None else f"{host}:{port}", path=path)
