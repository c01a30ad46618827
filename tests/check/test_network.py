"""Each fault of a destination gets a diagnosis of its own, from real servers."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from telemetry_forwarder.check.checker import Checker
from telemetry_forwarder.check.findings import Finding, Verdict
from telemetry_forwarder.check.network import Network
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.transport.resolver import Resolver
from tests.check import faults as f
from tests.support import collector as c
from tests.support.collector import FakeCollector
from tests.support.tcp_server import responds

HEADERS = "TELEMETRY_FORWARDER_HEADERS"
ENDPOINT = "TELEMETRY_FORWARDER_ENDPOINT"
CERTIFICATE = "TELEMETRY_FORWARDER_CERTIFICATE"
HTML = c.Response(body=f.HTML, headers={"Content-Type": "text/html"})
REDIRECT = c.Response(status=308, headers={"Location": "https://otlp.example.com/v1/logs"})
LOGIN = c.Response(status=302, headers={"Location": "/oauth/login?next=x"})

# The fault; the stage that finds it; a part of the text and of the advice.
TABLE = {
    "name that does not exist": (f.name_that_does_not_exist, "DNS", "nobody.invalid cannot be resolved", ENDPOINT),
    "port that refuses": (f.port_that_refuses, "connection", "refuses connections on port", "4318 (OTLP/HTTP)"),
    "port that is silent": (f.port_that_is_silent, "connection", "does not respond on port", "NAT gateway"),
    "address that cannot be reached": (
        f.address_that_cannot_be_reached,
        "connection",
        "no connection to 255.255.255.255 on port 80: ",
        "the routes of the VPC",
    ),
    "name of a proxy that does not exist": (
        f.proxy_whose_name_does_not_exist,
        "DNS",
        "the name proxy.invalid cannot be resolved",
        "in the variable of the proxy",
    ),
    "proxy that refuses": (f.proxy_that_refuses, "connection", "the proxy 127.0.0.1 refuses", "variable of the proxy"),
    "proxy wants a password": (
        f.proxied(responds(b"HTTP/1.1 407 No\r\n\r\n")),
        "proxy",
        "wants a user and a password (407)",
        "user:password@host",
    ),
    "proxy forbids": (
        f.proxied(responds(b"HTTP/1.1 403 No\r\n\r\n")),
        "proxy",
        "does not connect to otlp.example.com: responded with 403",
        "NO_PROXY",
    ),
    "proxy that is none": (f.proxied(responds(b"220 smtp\r\n\r\n")), "proxy", "does not respond as a proxy", "port"),
    "TLS to a port without": (f.tls_to_a_port_without, "TLS", "does not use TLS on this port", "Write http://"),
    "TLS to a port that waits": (
        f.tls_to_a_port_that_waits,
        "TLS",
        "does not respond to a TLS handshake",
        "If this port is not for TLS",
    ),
    "TLS closes": (f.tls_that_closes, "TLS", "closed the connection during the TLS handshake", "firewall"),
    "certificate has expired": (
        f.with_certificate(ends=f.NOW - f.DAY / 2),
        "TLS",
        f"the certificate for 127.0.0.1 has expired on {f.NOW - f.DAY / 2:%Y-%m-%d}",
        "Renew it",
    ),
    "certificate of the future": (
        f.with_certificate(begins=f.NOW + 2 * f.DAY),
        "TLS",
        f"valid from {f.NOW + 2 * f.DAY:%Y-%m-%d} on",
        "the clock of this machine",
    ),
    "certificate of an unknown authority": (
        f.with_certificate(trusts=False),
        "TLS",
        "is not known, and the server sends only its own certificate",
        f"set {CERTIFICATE}",
    ),
    "certificate signed by itself": (
        f.with_certificate(self_signed=True),
        "TLS",
        "the certificate for 127.0.0.1 is signed by itself",
        f"Set {CERTIFICATE} to a PEM file with this certificate",
    ),
    "certificate of another host": (
        f.with_certificate("one.example", "two.example"),
        "TLS",
        "the certificate is for one.example, two.example, not for 127.0.0.1",
        f"Use a host of the certificate in {ENDPOINT}",
    ),
    "certificate of the client is missing": (
        f.with_certificate(wants_client=True),
        "TLS",
        "wants a client certificate, and none is set",
        "TELEMETRY_FORWARDER_CLIENT_KEY",
    ),
    "certificate file is missing": (
        f.certificate_file_that_is_missing,
        "TLS",
        "missing.pem' cannot be used, so the system's authorities are trusted",
        "Check the path",
    ),
    "certificate file does not answer": (
        f.certificate_file_that_does_not_answer,
        "TLS",
        "pipe.pem' has not been read yet",
        "a named pipe without a writer",
    ),
    "plain HTTP to TLS": (
        f.with_certificate(is_plain=True),
        "request",
        "the server speaks TLS on this port",
        f"Write https:// in {ENDPOINT}",
    ),
    "HTTP to a port for gRPC": (
        f.http_to_a_grpc_port,
        "request",
        "the server speaks gRPC on this port",
        "TELEMETRY_FORWARDER_PROTOCOL=grpc",
    ),
    "gRPC to a port for HTTP": (
        f.grpc_to_an_http_port,
        "request",
        "the server speaks OTLP/HTTP on this port",
        "TELEMETRY_FORWARDER_PROTOCOL=http/protobuf",
    ),
    "gRPC to a port for HTTP with TLS": (
        f.grpc_to_an_http_port_with_tls,
        "request",
        "(the server responded with HTTP/1): the server speaks OTLP/HTTP",
        "TELEMETRY_FORWARDER_PROTOCOL=http/protobuf",
    ),
    "not HTTP": (
        f.serving(responds(b"SSH-2.0-OpenSSH_9.6\r\n")),
        "request",
        "what came is not HTTP",
        "something else than an OTLP receiver",
    ),
    "no response": (f.responding(c.HangUp()), "request", "ended the connection without a response", "Check the server"),
    "response too late": (f.responding(c.Hang()), "request", "no response within ", "does not respond"),
    "bad request": (f.responding(c.Response(status=400, message="no name")), "request", "400: no name", "this signal"),
    "no key": (
        f.responding(c.Response(status=401), HEADERS=""),
        "request",
        "401: status 401 (no header is sent)",
        f"Put the key into {HEADERS}",
    ),
    "wrong key": (
        f.responding(c.Response(status=401, message="bad key abcdefgh12345678")),
        "request",
        "401: bad key *** (headers sent: api-key)",
        "The key is not accepted",
    ),
    "key without a permission": (
        f.responding(c.Response(status=403)),
        "request",
        "403: status 403 (headers sent: api-key)",
        "not allowed to write logs",
    ),
    "no such path": (
        f.responding(c.Response(status=404)),
        "request",
        "/v1/logs)",
        f"/v1/logs was appended to {ENDPOINT}",
    ),
    "method not allowed": (f.responding(c.Response(status=405)), "request", "405: ", "does not accept POST"),
    "too large": (f.responding(c.Response(status=413)), "request", "413: ", "one item is too large"),
    "content type": (f.responding(c.Response(status=415)), "request", "415: ", "TELEMETRY_FORWARDER_COMPRESSION=none"),
    "quota": (f.responding(c.Response(status=429)), "request", "429: ", "The quota"),
    "internal error": (f.responding(c.Response(status=500)), "request", "500: ", "has failed by itself"),
    "not implemented": (f.responding(c.Response(status=501)), "request", "501: ", "TELEMETRY_FORWARDER_SIGNALS"),
    "bad gateway": (f.responding(c.Response(status=502)), "request", "502: ", "the receiver behind it does not"),
    "unavailable": (f.responding(c.Response(status=503)), "request", "503: ", "overloaded or not ready"),
    "gateway too slow": (f.responding(c.Response(status=504)), "request", "504: ", "is too slow"),
    "redirect to https": (f.responding(REDIRECT), "request", "308: redirects are not", f"Write https:// in {ENDPOINT}"),
    "redirect to a login": (f.responding(LOGIN), "request", "302: redirects are not", "It is a login page"),
    "web page": (f.responding(HTML), "request", "with a web page instead of an OTLP response", "a login page"),
    "another API": (
        f.responding(c.Response(body=b'{"error": "forbidden"}', headers={"Content-Type": "application/json"})),
        "request",
        "with application/json that is no OTLP response instead",
        "Check host, port and path",
    ),
    "item is rejected": (
        f.responding(c.Response(rejected=1, message="too old")),
        "request",
        "the endpoint has rejected the item: too old",
        "change what it names",
    ),
    "gRPC: no key": (
        f.responding(c.Response(status=401, message="no"), grpc=True),
        "request",
        "401: no (headers sent: api-key)",
        "The key is not accepted",
    ),
    "gRPC: no such service": (
        f.responding(c.Response(status=404, message="unknown"), grpc=True),
        "request",
        "404: unknown (called at http://127.0.0.1:",
        "has no OTLP receiver for logs here",
    ),
}

# Warnings: telemetry would be delivered.
WARNINGS = {
    "accepted with a warning": (
        f.responding(c.Response(message="slow down")),
        "request",
        "accepted, with a warning: slow down",
        "what to change",
    ),
    "certificate ends soon": (
        f.with_certificate(ends=f.NOW + 3.5 * f.DAY),
        "TLS",
        f"valid until {f.NOW + 3.5 * f.DAY:%Y-%m-%d}: 3 days",
        "renewed",
    ),
    "slow": (
        f.responding(c.Response(after_s=0.02), FLUSH_BUDGET_MS="10"),
        "request",
        "slower than the budget of 10 ms",
        "same region",
    ),
    "odd content type": (
        f.responding(c.Response(body=b"", headers={"Content-Type": "text/plain"})),
        "request",
        "accepted, with text/plain",
        "is an OTLP endpoint",
    ),
}
FAULTS = TABLE | WARNINGS
SLOW = ("TLS to a port that waits", "port that is silent", "response too late")


def findings(fault: AbstractContextManager[f.Environ], timeout_s: float) -> list[Finding]:
    with fault as environ:
        # A busy machine may be slower than the usual budget.
        checker = Checker({"TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "60000"} | environ, Clock(), timeout_s=timeout_s)
        try:
            return list(checker.findings("logs"))
        finally:
            checker.close()


@pytest.mark.parametrize("name", FAULTS)
def test_fault_gets_its_diagnosis(name: str, tmp_path: Path) -> None:
    fault, stage, text, advice = FAULTS[name]

    found = findings(fault(tmp_path), 2.0 if name in SLOW else 30.0)

    verdict = Verdict.WARNING if name in WARNINGS else Verdict.FAILED
    wrong = [finding for finding in found if finding.verdict is not Verdict.OK]
    # The missing file is a warning, and what follows from it a failure.
    assert wrong, found
    assert (wrong[0].stage, wrong[-1].verdict) == (stage, verdict), found
    assert text in wrong[0].text
    assert advice in wrong[0].advice
    assert not [finding for finding in found if "abcdefgh12345678" in f"{finding}"]


def test_no_two_faults_have_the_same_diagnosis() -> None:
    expected = [(stage, text, advice) for _, stage, text, advice in FAULTS.values()]

    assert len(set(expected)) == len(FAULTS) > 25


@pytest.mark.parametrize(
    "name",
    [
        "name that does not exist",
        "port that refuses",
        "proxy wants a password",
        "certificate has expired",
        "certificate file does not answer",
    ],
)
def test_way_ends_with_the_stage_that_fails(name: str, tmp_path: Path) -> None:
    fault, stage, *_ = TABLE[name]
    with fault(tmp_path) as environ:
        subject, clock = Checker(environ, Clock()).subject("logs"), Clock()

        found = list(Network(Resolver(), clock).findings(subject, Deadline.after(30.0, clock)))

    assert (found[-1].stage, found[-1].verdict) == (stage, Verdict.FAILED)
    assert [finding for finding in found if finding.verdict is Verdict.FAILED] == found[-1:]


@pytest.mark.parametrize(("name", "value"), [("FLUSH", "every 5 s"), ("FLUSH", "shutdown"), ("FLUSH_BUDGET_MS", "0")])
def test_endpoint_is_not_slow_if_no_invocation_waits_for_it(name: str, value: str, tmp_path: Path) -> None:
    environ = {f"TELEMETRY_FORWARDER_{name}": value}
    with f.responding(c.Response(after_s=0.02), FLUSH_BUDGET_MS="10")(tmp_path) as slow:
        checker = Checker(slow | environ, Clock())

        assert {finding.verdict for finding in checker.findings("logs")} == {Verdict.OK}

        checker.close()


def test_name_is_shown_with_its_addresses(collector: FakeCollector) -> None:
    environ = f.variables(ENDPOINT=f"http://localhost:{collector.port}")
    subject, clock = Checker(environ, Clock()).subject("logs"), Clock()

    first, second = Network(Resolver(), clock).findings(subject, Deadline.after(30.0, clock))

    assert first.text.startswith("localhost is ")
    assert second.text.startswith(f"port {collector.port} of 127.0.0.1 accepts connections, ")
