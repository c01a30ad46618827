"""Reads from the environment where and how each signal is sent. Pure; an invalid value gives a warning and a default.

If our ENDPOINT and OpenTelemetry's name two different servers, the shared HEADERS, PROTOCOL, INSECURE and certificates
are those of the other server and are not used: a secret is only sent to the server that it was set for.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from telemetry_forwarder.core.batch import SIGNALS
from telemetry_forwarder.endpoints import urls
from telemetry_forwarder.endpoints.options import OPTIONS, OWN, SHARED, find, find_first
from telemetry_forwarder.endpoints.proxies import find_proxy
from telemetry_forwarder.settings import not_valid, reject

GRPC = "grpc"
HTTP_PROTOBUF = "http/protobuf"

_HTTP_JSON = "http/json"
_TIMEOUT_S = 10.0
# The specification says milliseconds, Python's SDK reads seconds. No export can be expected to end within 0.1 s.
_MIN_TIMEOUT_MS = 100
_GRPC_PORT, _HTTP_PORT = 4317, 4318

# Belongs into the variable of the signal, where nothing is appended.
_SIGNAL_PATH = re.compile(rf"(/v1/(?:{'|'.join(SIGNALS)}))/*$")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
# Control characters, and bytes that are not UTF-8.
_INVALID = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; and headers of the connection: RFC 9113, 8.2.2.
_GRPC_KEY = re.compile(r"(?!grpc-)(?!(?:keep-alive|proxy-connection|te|upgrade)$)[0-9a-z_.-]+(?<!-bin)")
_GRPC_TEXT = re.compile(r"[ -~]*")
# These follow from the body and the connection; any other value would be wrong.
_RESERVED = frozenset({"connection", "content-encoding", "content-length", "content-type", "transfer-encoding"})


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
    variables: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False, repr=False)
    """The variables that set the three files, by option, for log lines."""
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
    environ: Mapping[str, str], problems: list[str], *, signals: Collection[str] = SIGNALS
) -> dict[str, Endpoint]:
    """Return the endpoint of each of *signals*; append one sentence to *problems* for each invalid value."""
    endpoints = {signal: _Reader(environ, problems, signal).endpoint() for signal in signals}
    if missing := [signal for signal in endpoints if not find(environ, signal, "ENDPOINT", OWN + SHARED)[1]]:
        complaint = f"no endpoint is set for {', '.join(missing)}"
        reject(problems, f"{OWN[0]}ENDPOINT", complaint, endpoints[missing[0]].origin)
    return endpoints


def variables_of(environ: Mapping[str, str], signal: str) -> dict[str, str]:
    """Return the variable that sets each option of *signal*, by option; those that none sets are missing."""
    return _Reader(environ, [], signal).variables()


class _Reader:
    """Reads the options of one signal and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], problems: list[str], signal: str) -> None:
        self._environ = environ
        self._problems = problems
        self._signal = signal
        own, shared = (find(environ, signal, "ENDPOINT", prefixes)[1] for prefixes in (OWN, SHARED))
        self._has_own_server = bool(own and shared) and _server(own) != _server(shared)

    def endpoint(self) -> Endpoint:
        protocol = self._choice("PROTOCOL", HTTP_PROTOBUF, GRPC, _HTTP_JSON)
        if protocol == _HTTP_JSON:
            protocol = self._reject("PROTOCOL", f"{protocol!r} is not supported", HTTP_PROTOBUF)
        url = self._url(protocol)
        return Endpoint(
            signal=self._signal,
            url=urlunsplit(url._replace(netloc=urls.host_and_port(url))),
            headers=urls.authorization_header(url) | self._headers(protocol),
            timeout_s=self._timeout_s(),
            compression=self._choice("COMPRESSION", "gzip", "none"),
            protocol=protocol,
            **self._files(),
            proxy=find_proxy(url, self._environ, self._problems),
        )

    def variables(self) -> dict[str, str]:
        found = {option.name: self._find(option.name)[0] for option in OPTIONS} | self._files()["variables"]
        return {option: name for option, name in found.items() if name}

    def _find(self, option: str) -> tuple[str, str]:
        is_for_any_server = option in ("ENDPOINT", "TIMEOUT", "COMPRESSION") or not self._has_own_server
        return find(self._environ, self._signal, option, OWN + SHARED if is_for_any_server else OWN)

    def _reject(self, option: str, complaint: str, used: str) -> str:
        return reject(self._problems, self._find(option)[0], complaint, used)

    def _choice(self, option: str, default: str, *others: str) -> str:
        value = self._find(option)[1]
        choice = value.lower() or default
        if choice not in (default, *others):
            return self._reject(option, f"{value[:60]!r} is not one of {', '.join((default, *others))}", default)
        return choice

    def _url(self, protocol: str) -> SplitResult:
        name, value = self._find("ENDPOINT")
        is_grpc = protocol == GRPC
        scheme = "http" if self._choice("INSECURE", "false", "true") == "true" else "https"
        default = urlsplit(f"http://localhost:{_GRPC_PORT if is_grpc else _HTTP_PORT}")
        text = f"{scheme}://{value}" if is_grpc and "://" not in value else urls.add_scheme(value)
        url = urls.parse_url(text) if value else default
        if url is None:
            shown = f"{urls.redact_url(value)!r} is" if urls.redact_url(value) else "is"
            self._reject("ENDPOINT", f"{shown} not a http:// or https:// URL", urlunsplit(default))
            url = default
        elif value and text != value and not is_grpc:
            self._reject("ENDPOINT", "has neither http:// nor https://", f"{url.scheme}://{url.netloc}")
        if not is_grpc and (url is default or not name.endswith(f"{self._signal.upper()}_ENDPOINT")):
            if match := _SIGNAL_PATH.search(url.path):
                complaint = f"the base URL ends in {match[1]}, and /v1/<signal> is appended to it"
                self._reject("ENDPOINT", complaint, f"{urls.host_and_port(url)}{match[1]}/v1/<signal>")
            return url._replace(path=f"{url.path.rstrip('/')}/v1/{self._signal}")
        return url._replace(path=url.path or "/")

    def _files(self) -> dict[str, Any]:
        certificate = self._find("CERTIFICATE")
        if not certificate[1]:
            certificate = find_first(self._environ, "SSL_CERT_FILE")
        key, client_certificate = self._find("CLIENT_KEY"), self._find("CLIENT_CERTIFICATE")
        if key[1] and not client_certificate[1]:
            self._reject("CLIENT_KEY", "is set without a CLIENT_CERTIFICATE", "neither")
        found = {"CERTIFICATE": certificate, "CLIENT_KEY": key, "CLIENT_CERTIFICATE": client_certificate}
        files: dict[str, Any] = {option.lower(): path for option, (_, path) in found.items()}
        return files | {"variables": {option: name for option, (name, _) in found.items()}}

    def _timeout_s(self) -> float:
        value = self._find("TIMEOUT")[1]
        try:
            timeout_ms = float(value or "0")
        except ValueError:
            timeout_ms = math.nan
        if not 0 <= timeout_ms < math.inf:
            self._reject("TIMEOUT", f"{value[:60]!r} is not a number of milliseconds", f"{_TIMEOUT_S * 1_000:.0f}")
            return _TIMEOUT_S
        if 0 < timeout_ms < _MIN_TIMEOUT_MS:
            self._reject("TIMEOUT", f"{value[:60]!r} is too short for milliseconds", f"{timeout_ms:g} seconds")
            return timeout_ms
        return timeout_ms / 1_000 or _TIMEOUT_S

    def _headers(self, protocol: str) -> dict[str, str]:
        """Parse `k1=v1,k2=v2`, values URL-encoded. A problem never contains a value, nor an entry without a key."""
        headers, wrong, reserved = {}, [], []
        for number, pair in enumerate(self._find("HEADERS")[1].split(","), 1):
            key, equals, text = (part.strip() for part in pair.partition("="))
            text = unquote(text)
            if not equals or not _TOKEN.fullmatch(key.lower()) or _INVALID.search(text):
                wrong += [number] if pair.strip() else []
            elif key.lower() in _RESERVED:
                reserved.append(key)
            else:
                headers[key.lower()] = text
        complaints = [not_valid(wrong)] if wrong else []
        complaints += [f"{', '.join(map(repr, reserved))} is set by the extension"] if reserved else []
        if complaints:
            self._reject("HEADERS", " and ".join(complaints), "the other entries" if wrong else "its own value")
        return self._for_grpc(headers) if protocol == GRPC else headers

    def _for_grpc(self, headers: dict[str, str]) -> dict[str, str]:
        """Return those of *headers* that can be sent over gRPC."""
        sent = {key: text for key, text in headers.items() if _GRPC_KEY.fullmatch(key) and _GRPC_TEXT.fullmatch(text)}
        if left_out := [key for key in headers if key not in sent]:
            self._reject("HEADERS", f"{', '.join(map(repr, left_out))} cannot be sent over gRPC", "the other entries")
        return sent


def _server(text: str) -> tuple[str, str] | None:
    url = urls.parse_url(urls.add_scheme(text))
    return url and (url.scheme, urls.host_and_port(url))
