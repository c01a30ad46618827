from datetime import UTC, datetime, timedelta

import pytest

from telemetry_forwarder.check.certificates import Certificate
from telemetry_forwarder.check.findings import Subject, Verdict
from telemetry_forwarder.check.tls_problems import (
    describe,
    explain_certificate,
    explain_handshake,
    needs_client_certificate,
)
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.outcome import Cause

NOW = datetime(2026, 11, 28, tzinfo=UTC)
LEAF = Certificate("leaf", "middle", ("a.example",), NOW - timedelta(days=1), NOW + timedelta(days=90))
MIDDLE = Certificate("middle", "root", (), NOW - timedelta(days=1), NOW + timedelta(days=900))
SUBJECT = Subject(Endpoint("logs", "https://h/"), {"CERTIFICATE": "SSL_CERT_FILE"}, str)


def test_chain_is_described() -> None:
    finding = describe([LEAF, MIDDLE], "TLSv1.3", NOW)

    assert finding.verdict is Verdict.OK
    assert finding.text == "TLSv1.3, certificate for a.example from middle < root, valid until 2027-02-26"
    assert describe([], "TLSv1.3", NOW).text == "TLSv1.3"


@pytest.mark.parametrize(
    ("code", "chain", "text", "advice"),
    [
        (20, [], "the certificate is not trusted: why", "Set SSL_CERT_FILE to the authority that issued it."),
        (
            20,
            [LEAF, MIDDLE],
            "the authority middle is not known, and the server sends 2 certificates",
            "If it is a private authority, set SSL_CERT_FILE to a PEM file with it."
            " If it is a public one, have the server send the intermediate certificates, too.",
        ),
        (
            19,
            [LEAF, MIDDLE],
            "the authority at the end of the chain (root) is not trusted",
            "Set SSL_CERT_FILE to a PEM file with this authority.",
        ),
        (
            85,
            [LEAF],
            "a certificate of the chain for a.example is not as RFC 5280 wants it: why",
            "Have it issued again with what is missing. Those of private authorities often lack it.",
        ),
        (1, [LEAF], "the certificate for a.example is not trusted: why", "See the reason that OpenSSL reports."),
    ],
)
def test_certificate_that_is_not_trusted(code: int, chain: list[Certificate], text: str, advice: str) -> None:
    finding = explain_certificate(SUBJECT, "why", code, chain, NOW)

    assert (finding.verdict, finding.text, finding.advice) == (Verdict.FAILED, text, advice)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("no TLS: [SSL: WRONG_VERSION_NUMBER] wrong version number", "the server does not use TLS on this port"),
        ("TLS failed: tlsv1 alert no application protocol", "the server does not offer HTTP/2, which gRPC needs"),
        (
            "TLS failed: tlsv1 alert protocol version",
            "the server uses a version of TLS that is too old: TLS failed: tlsv1 alert protocol version",
        ),
        (
            "TLS failed: sslv3 alert handshake failure",
            "the server wants a client certificate, and none is set: TLS failed: sslv3 alert handshake failure",
        ),
        ("TLS failed: internal error", "the TLS handshake has failed: TLS failed: internal error"),
    ],
)
def test_handshake_that_failed(reason: str, text: str) -> None:
    finding = explain_handshake(SUBJECT, reason)

    assert (finding.verdict, finding.text) == (Verdict.FAILED, text)
    assert finding.advice


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (Cause.LATE, "the server does not respond to a TLS handshake"),
        (Cause.CLOSED, "the server has closed the connection during the TLS handshake"),
        (Cause.OTHER, "the TLS handshake has failed: in other words"),
    ],
)
def test_handshake_that_was_not_finished(cause: Cause, text: str) -> None:
    assert explain_handshake(SUBJECT, "in other words", cause).text == text


def test_client_certificate_that_is_refused() -> None:
    subject = Subject(Endpoint("logs", "https://h/", client_certificate="/c.pem"), {}, str)

    finding = needs_client_certificate(subject, "unknown ca")

    assert finding.text == "the server does not accept the client certificate: unknown ca"
    assert finding.advice.startswith(
        "Check that TELEMETRY_FORWARDER_CLIENT_CERTIFICATE and TELEMETRY_FORWARDER_CLIENT_"
    )
