"""Connects to an endpoint as delivery does, with a finding for each stage: DNS, connection, proxy, TLS."""

import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

from telemetry_forwarder.check.certificates import Certificate, read_certificate
from telemetry_forwarder.check.findings import Finding, Subject, Verdict
from telemetry_forwarder.check.tls_problems import STAGE as TLS
from telemetry_forwarder.check.tls_problems import describe, explain_certificate, explain_handshake
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.endpoints.urls import host_and_port, server_of
from telemetry_forwarder.transport.attempt import Attempt
from telemetry_forwarder.transport.http_client import open_tunnel
from telemetry_forwarder.transport.outcome import Cause, RequestError
from telemetry_forwarder.transport.resolver import Resolver
from telemetry_forwarder.transport.sockets import Stream, connect
from telemetry_forwarder.transport.tls import ContextReader

DNS, CONNECTION, PROXY = "DNS", "connection", "proxy"
_MAX_SHOWN = 4


class ProblemLog(Diagnostics):
    """Keeps what would be logged, for a finding."""

    __slots__ = ("problems",)

    def __init__(self, clock: Clock) -> None:
        super().__init__("none", clock)
        self.problems: list[str] = []

    def warn(self, message: str, *, once_a_minute: str = "") -> None:
        self.problems.append(message)


class Network:
    """Checks each route once, also if several signals share it. For one thread."""

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock
        self._checked: dict[tuple[str, ...], Finding] = {}
        """By route: the finding for each further signal."""

    def findings(self, subject: Subject, deadline: Deadline) -> Iterator[Finding]:
        """Yield the finding of each stage, up to the first that fails. Blocks until *deadline* at most."""
        endpoint = subject.endpoint
        files = (endpoint.certificate, endpoint.client_certificate, endpoint.client_key)
        route = (endpoint.origin, endpoint.protocol, endpoint.proxy, *files)
        if route in self._checked:
            yield self._checked[route]
            return
        text = f"as for {subject.signal}"
        self._checked[route] = Finding(CONNECTION, Verdict.OK, text)
        for finding in self._stages(subject, Attempt(deadline, Deadline.left_s)):
            if finding.verdict is Verdict.FAILED:
                self._checked[route] = Finding(finding.stage, Verdict.FAILED, text)
            yield finding

    def speaks_tls(self, endpoint: Endpoint, deadline: Deadline) -> bool:
        """Return whether TLS works where *endpoint* is. Sends nothing else. Blocks until *deadline* at most."""
        return bool(self._unverified_chain(endpoint, Attempt(deadline, Deadline.left_s)))

    def _stages(self, subject: Subject, attempt: Attempt) -> Iterator[Finding]:
        url, proxy = urlsplit(subject.endpoint.url), urlsplit(subject.endpoint.proxy)
        hop = proxy if subject.endpoint.proxy else url
        yield (finding := self._look_up(subject, hop, attempt))
        if finding.verdict is Verdict.FAILED:
            return
        began_s = self._clock.monotonic_s()
        try:
            stream = connect(server_of(hop), attempt, self._resolver)
        except RequestError as exc:
            yield _explain_connection(subject, hop, exc, self._clock.monotonic_s() - began_s)
            return
        try:
            took_ms = (self._clock.monotonic_s() - began_s) * 1_000
            address = _shown_address(attempt.peer[1] if attempt.peer else ())
            yield Finding(CONNECTION, Verdict.OK, f"{address} accepts connections, {took_ms:.0f} ms")
            yield from self._after_connect(subject, stream, attempt)
        finally:
            stream.close()

    def _after_connect(self, subject: Subject, stream: Stream, attempt: Attempt) -> Iterator[Finding]:
        endpoint = subject.endpoint
        if endpoint.proxy and not (endpoint.is_insecure and not subject.is_grpc):
            try:
                _open_tunnel(endpoint, stream, attempt)
            except RequestError as exc:
                yield _explain_tunnel(subject, exc)
                return
            yield Finding(PROXY, Verdict.OK, f"{_shown(urlsplit(endpoint.proxy))} connects to {subject.host}")
        if not endpoint.is_insecure:
            yield from self._shake_hands(subject, stream, attempt)

    def _look_up(self, subject: Subject, hop: SplitResult, attempt: Attempt) -> Finding:
        host, port = server_of(hop)
        began_s = self._clock.monotonic_s()
        attempt.is_connecting = True
        try:
            addresses = self._resolver.addresses(host, port, attempt)
        except RequestError as exc:
            return _explain_lookup(subject, host, str(exc))
        found = list(dict.fromkeys(each[4][0] for each in addresses))
        shown = ", ".join(found[:_MAX_SHOWN]) + (", …" if found[_MAX_SHOWN:] else "")
        took_ms = (self._clock.monotonic_s() - began_s) * 1_000
        if found == [host]:
            return Finding(DNS, Verdict.OK, f"{host} is an address")
        return Finding(DNS, Verdict.OK, f"{host} is {shown}, {took_ms:.0f} ms")

    def _shake_hands(self, subject: Subject, stream: Stream, attempt: Attempt) -> Iterator[Finding]:
        endpoint, log = subject.endpoint, ProblemLog(self._clock)
        try:
            context = ContextReader(endpoint, log, self._clock).context(attempt)
        except RequestError as exc:
            advice = "The file does not answer: a named pipe without a writer, or a file system that hangs."
            yield Finding(TLS, Verdict.FAILED, str(exc), advice)
            return
        for problem in log.problems:
            yield Finding(TLS, Verdict.WARNING, problem, "Check the path, and that the file is PEM.")
        if subject.is_grpc:
            context.set_alpn_protocols(["h2"])
        try:
            encrypted = stream.start_tls(context, subject.host, attempt)
        except RequestError as exc:
            yield self._explain_tls(subject, exc, attempt)
            return
        try:
            yield describe(_chain(encrypted), _version(encrypted), self._now())
        finally:
            encrypted.close()

    def _explain_tls(self, subject: Subject, exc: RequestError, attempt: Attempt) -> Finding:
        cause = exc.__cause__
        if not isinstance(cause, ssl.SSLCertVerificationError):
            return explain_handshake(subject, str(exc), exc.cause)
        chain = self._unverified_chain(subject.endpoint, attempt)
        return explain_certificate(subject, cause.verify_message, cause.verify_code, chain, self._now())

    def _unverified_chain(self, endpoint: Endpoint, attempt: Attempt) -> list[Certificate]:
        """Return what the server sends on another connection, on which nothing is sent to it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        url = urlsplit(endpoint.url)
        try:
            stream = connect(server_of(urlsplit(endpoint.proxy) if endpoint.proxy else url), attempt, self._resolver)
            if endpoint.proxy:
                _open_tunnel(endpoint, stream, attempt)
            encrypted = stream.start_tls(context, url.hostname or "", attempt)
        except RequestError:
            return []
        try:
            return _chain(encrypted)
        finally:
            encrypted.close()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.unix_ns() / 1_000_000_000, UTC)


def _open_tunnel(endpoint: Endpoint, stream: Stream, attempt: Attempt) -> None:
    open_tunnel(stream, urlsplit(endpoint.proxy), server_of(urlsplit(endpoint.url)), attempt)


def _chain(stream: Stream) -> list[Certificate]:
    """Return the server's certificates, its own first; with a Python before 3.13 only that."""
    connection = stream.connection
    assert isinstance(connection, ssl.SSLSocket)
    read_chain = getattr(connection, "get_unverified_chain", None)
    encoded: Sequence[bytes | None] = read_chain() if read_chain else [connection.getpeercert(binary_form=True)]
    return [certificate for der in encoded if der and (certificate := read_certificate(der))]


def _version(stream: Stream) -> str:
    connection = stream.connection
    assert isinstance(connection, ssl.SSLSocket)
    return connection.version() or "TLS"


def _shown_address(address: Sequence[object]) -> str:
    return f"port {address[1]} of {address[0]}" if address else "the server"


def _shown(url: SplitResult) -> str:
    return f"{url.scheme}://{host_and_port(url)}"


def _explain_lookup(subject: Subject, host: str, detail: str) -> Finding:
    if subject.endpoint.proxy:
        advice = "Check the spelling of the host in the variable of the proxy (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY)."
    else:
        advice = (
            f"Check the spelling of the host in {subject.variable('ENDPOINT')}. A private name is found only in the"
            " networks that know it; in a VPC, check its DNS settings."
        )
    reason = detail.removeprefix(f"{host}: ")
    return Finding(DNS, Verdict.FAILED, f"the name {host} cannot be resolved: {reason}", advice)


def _explain_connection(subject: Subject, hop: SplitResult, failure: RequestError, took_s: float) -> Finding:
    host, port = server_of(hop)
    whose = f"the proxy {host}" if subject.endpoint.proxy else host
    variable = "the variable of the proxy" if subject.endpoint.proxy else subject.variable("ENDPOINT")
    if failure.cause is Cause.REFUSED:
        text = f"{whose} refuses connections on port {port}"
        default = f" The URL has no port, so {port} is used." if hop.port is None else ""
        usual = "" if subject.endpoint.proxy else " Collectors listen on 4318 (OTLP/HTTP) and 4317 (gRPC)."
        advice = f"Check the port in {variable}, and that the server runs.{default}{usual}"
    elif failure.cause is Cause.LATE:
        text = f"{whose} does not respond on port {port} within {took_s:.2g} s"
        advice = (
            f"Something drops the packets: check the port in {variable}, firewalls and security groups. A function in"
            " a VPC needs a NAT gateway or an endpoint of the VPC to reach anything outside."
        )
    else:
        text = f"no connection to {whose} on port {port}: {failure}"
        advice = "Check the network of this machine, and the routes of the VPC."
    return Finding(CONNECTION, Verdict.FAILED, text, advice)


def _explain_tunnel(subject: Subject, failure: RequestError) -> Finding:
    proxy = _shown(urlsplit(subject.endpoint.proxy))
    if failure.cause is Cause.LOGIN:
        text = f"{proxy} wants a user and a password (407)"
        advice = "Write them into the URL of the proxy: http://user:password@host:port."
    elif failure.cause is Cause.NO_PROXY:
        text = f"{proxy} does not respond as a proxy"
        advice = "Check the host and the port in the variable of the proxy."
    else:
        text = f"{proxy} does not connect to {subject.host}: {str(failure).removeprefix('proxy: ')}"
        advice = f"Have the proxy allow CONNECT to {subject.host}, or add the host to NO_PROXY."
    return Finding(PROXY, Verdict.FAILED, text, advice)
