"""Reads from the environment where each signal goes, and how. Pure; a bad value is a sentence, no error.

Names and meanings: https://opentelemetry.io/docs/specs/otel/protocol/exporter/. For a signal, an option is
looked up under these names, and the first that is set and not empty wins:

    TELEMETRY_FORWARDER_LOGS_HEADERS  TELEMETRY_FORWARDER_HEADERS      for this extension alone
    OTEL_EXPORTER_OTLP_LOGS_HEADERS   OTEL_EXPORTER_OTLP_HEADERS       shared with the function's own SDK

Where our ENDPOINT and OpenTelemetry's name two different servers, the shared HEADERS, PROTOCOL, INSECURE and
certificates are those of the other server and are not used: a secret goes only to whom it was meant for.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from telemetry_forwarder.core.batch import SIGNALS
from telemetry_forwarder.endpoints.proxies import proxy_for
from telemetry_forwarder.endpoints.urls import authorization, bare_netloc, parsed_url, shown_url, with_scheme

GRPC = "grpc"
HTTP_PROTOBUF = "http/protobuf"

_HTTP_JSON = "http/json"
_OURS = "TELEMETRY_FORWARDER_"
_SHARED = "OTEL_EXPORTER_OTLP_"
_TIMEOUT_S = 10.0
# The specification says milliseconds, Python's SDK reads seconds. Nobody wants an export to end within 0.1 s.
_LEAST_TIMEOUT_MS = 100
_GRPC_PORT, _HTTP_PORT = 4317, 4318

_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What is sent describes itself: another value of these could only be wrong.
_RESERVED = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one signal goes, and how. Its URL is plain ASCII, with a path and without credentials."""

    signal: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    """Keys in lower case. Values are secrets."""
    timeout_s: float = _TIMEOUT_S
    """For one batch, with all its tries."""
    compression: str = "gzip"
    """`gzip` or `none`."""
    protocol: str = HTTP_PROTOBUF
    """`http/protobuf` or `grpc`."""
    certificate: str = ""
    """Path of the authorities to trust; empty for the system's."""
    client_key: str = ""
    client_certificate: str = ""
    proxy: str = field(default="", repr=False)
    """URL, perhaps with credentials; empty for none."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a connection belongs to, and all of a URL that is fit to be shown."""
        return urlunsplit(urlsplit(self.url)._replace(path="", query=""))

    @property
    def insecure(self) -> bool:
        return self.url.startswith("http:")


def endpoints(
    environ: Mapping[str, str],
    problems: list[str],
    *,
    signals: Collection[str] = SIGNALS,
    has_grpc: bool = False,
) -> dict[str, Endpoint]:
    """The endpoint of each of *signals*; what is wrong with the values is added to *problems*, once each."""
    read = _Reader(environ, problems, has_grpc=has_grpc)
    found = {signal: read.endpoint(signal) for signal in signals}
    if homeless := [signal for signal in found if not read.find(signal, "ENDPOINT")[1]]:
        problems.append(
            f"{_SHARED}ENDPOINT: no endpoint is set for {', '.join(homeless)}; "
            f"taken instead: {found[homeless[0]].origin}"
        )
    return found


def names() -> Iterator[str]:
    """The names of all settings of ours that are read here."""
    options = (
        "ENDPOINT",
        "HEADERS",
        "TIMEOUT",
        "COMPRESSION",
        "PROTOCOL",
        "INSECURE",
        "CERTIFICATE",
        "CLIENT_KEY",
        "CLIENT_CERTIFICATE",
    )
    for signal in ("", *(f"{signal.upper()}_" for signal in SIGNALS)):
        yield from (f"{_OURS}{signal}{option}" for option in options)


class _Reader:
    """Takes options of one signal out of the environment, and notes what is wrong with them."""

    __slots__ = ("_environ", "_has_grpc", "_problems")

    def __init__(self, environ: Mapping[str, str], problems: list[str], *, has_grpc: bool) -> None:
        self._environ = environ
        self._problems = problems
        self._has_grpc = has_grpc

    def find(
        self, signal: str, option: str, *, prefixes: tuple[str, ...] = (_OURS, _SHARED)
    ) -> tuple[str, str]:
        """The name that is set, and its value; ("", "") where none is."""
        for prefix in prefixes:
            for name in (f"{prefix}{signal.upper()}_{option}", f"{prefix}{option}"):
                if value := _unquoted(self._environ.get(name, "").strip()):
                    return name, value
        return "", ""

    def endpoint(self, signal: str) -> Endpoint:
        prefixes = (_OURS,) if self._is_apart(signal) else (_OURS, _SHARED)

        def server(option: str) -> tuple[str, str]:
            return self.find(signal, option, prefixes=prefixes)

        wanted = self._choice(*server("PROTOCOL"), choices=(HTTP_PROTOBUF, GRPC, _HTTP_JSON))
        protocol = self._spoken(server("PROTOCOL")[0], wanted)
        is_insecure = self._choice(*server("INSECURE"), choices=("false", "true"))
        url = self._url(signal, wanted, is_insecure=is_insecure == "true")
        if wanted == GRPC != protocol:
            url = _over_http(url, signal)
        return Endpoint(
            signal=signal,
            url=urlunsplit(url._replace(netloc=bare_netloc(url))),
            headers=authorization(url) | self._headers(*server("HEADERS")),
            timeout_s=self._timeout_s(*self.find(signal, "TIMEOUT")),
            compression=self._choice(*self.find(signal, "COMPRESSION"), choices=("gzip", "none")),
            protocol=protocol,
            certificate=server("CERTIFICATE")[1] or self._environ.get("SSL_CERT_FILE", "").strip(),
            client_key=server("CLIENT_KEY")[1],
            client_certificate=server("CLIENT_CERTIFICATE")[1],
            proxy=proxy_for(url, self._environ, self._problems),
        )

    def _is_apart(self, signal: str) -> bool:
        """Whether our own ENDPOINT and the shared one are two different servers."""
        ours = self.find(signal, "ENDPOINT", prefixes=(_OURS,))[1]
        shared = self.find(signal, "ENDPOINT", prefixes=(_SHARED,))[1]
        return bool(ours and shared) and _server(ours) != _server(shared)

    def _choice(self, name: str, value: str, *, choices: tuple[str, ...]) -> str:
        """One of *choices*; the first is the default."""
        if value.lower() in choices:
            return value.lower()
        if value:
            self._object(name, f"{value[:60]!r} is none of {', '.join(choices)}", choices[0])
        return choices[0]

    def _spoken(self, name: str, wanted: str) -> str:
        """The protocol that is spoken where *wanted* is asked for."""
        if wanted == _HTTP_JSON:
            self._object(name, f"{wanted!r} is not supported", HTTP_PROTOBUF)
            return HTTP_PROTOBUF
        if wanted == GRPC and not self._has_grpc:
            hint = f"{HTTP_PROTOBUF}, at port {_HTTP_PORT} where {_GRPC_PORT} is set"
            self._object(name, f"{wanted!r} needs grpcio, which is not installed", hint)
            return HTTP_PROTOBUF
        return wanted

    def _url(self, signal: str, protocol: str, *, is_insecure: bool) -> SplitResult:
        name, value = self.find(signal, "ENDPOINT")
        default = urlsplit(f"http://localhost:{_GRPC_PORT if protocol == GRPC else _HTTP_PORT}")
        whole = with_scheme(value)
        if protocol == GRPC and "://" not in value:
            whole = f"{'http' if is_insecure else 'https'}://{value}"
        url = parsed_url(whole) if value else default
        if url is None:
            shown = f"{shown_url(value)!r} is" if shown_url(value) else "is"
            self._object(name, f"{shown} not a http:// or https:// URL", urlunsplit(default))
            url = default
        elif whole != value and value and protocol != GRPC:
            origin = f"{url.scheme}://{url.netloc}"
            self._object(name, "has neither http:// nor https://", origin)
        if protocol == GRPC:
            return url._replace(path=url.path or "/")
        if url is default or not name.endswith(f"{signal.upper()}_ENDPOINT"):
            return url._replace(path=f"{url.path.rstrip('/')}/v1/{signal}")
        return url._replace(path=url.path or "/")

    def _timeout_s(self, name: str, value: str) -> float:
        try:
            given = float(value or "0")
        except ValueError:
            given = math.nan
        if not 0 <= given < math.inf:
            self._object(name, f"{value[:60]!r} is not a number of milliseconds", f"{_TIMEOUT_S * 1_000:.0f}")
            return _TIMEOUT_S
        if 0 < given < _LEAST_TIMEOUT_MS:
            self._object(name, f"{value[:60]!r} is too short for milliseconds", f"{given:g} seconds")
            return given
        return given / 1_000 or _TIMEOUT_S

    def _headers(self, name: str, value: str) -> dict[str, str]:
        """`k1=v1,k2=v2`, values URL-encoded. Nothing of a value is ever shown, nor of what has no key."""
        headers = {}
        for number, pair in enumerate(value.split(","), 1):
            key, equals, text = (part.strip() for part in pair.partition("="))
            text = unquote(text)
            if equals and _TOKEN.fullmatch(key.lower()) and not _CONTROL.search(text):
                if key.lower() not in _RESERVED:
                    headers[key.lower()] = text
                    continue
                self._object(name, f"{key!r} is not for the user to say", "our own")
            elif pair.strip():
                self._object(name, f"entry {number} is not key=value", "the other entries")
        return headers

    def _object(self, name: str, complaint: str, taken: str) -> None:
        problem = f"{name}: {complaint}; taken instead: {taken}"
        # What three signals share is read three times, and said once.
        if problem not in self._problems:
            self._problems.append(problem)


def _unquoted(value: str) -> str:
    """*value* without the quotes that a file or a shell has left around it."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1].strip()
    return value


def _server(text: str) -> tuple[str, str] | None:
    url = parsed_url(with_scheme(text))
    return url and (url.scheme, bare_netloc(url))


def _over_http(url: SplitResult, signal: str) -> SplitResult:
    """Where a collector that is named by its gRPC address takes HTTP."""
    port = _HTTP_PORT if url.port == _GRPC_PORT else url.port
    host = url.netloc if url.port is None else url.netloc.rpartition(":")[0]
    path = url.path if url.path != "/" else f"/v1/{signal}"
    return url._replace(netloc=host if port is None else f"{host}:{port}", path=path)
