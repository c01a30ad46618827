"""Explains certificates, and why TLS failed. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from telemetry_forwarder.check.certificates import Certificate
from telemetry_forwarder.check.findings import Finding, Subject, Verdict
from telemetry_forwarder.transport.outcome import Cause

STAGE = "TLS"
_SOON = timedelta(days=14)
# X509_V_ERR_…: https://github.com/openssl/openssl/blob/master/include/openssl/x509_vfy.h.in
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN = 18, 19
_NO_ISSUER = frozenset({2, 20, 21})
_OTHER_HOST = frozenset({62, 64})
# Python 3.13 and newer, as in the layer, accept only certificates with the extensions that RFC 5280 wants.
_NOT_STRICT = range(76, 96)
_NO_TLS = ("wrong version number", "packet length too long", "record layer failure", "http request")
_NO_CLIENT_CERTIFICATE = ("certificate required", "handshake failure", "bad certificate", "unknown ca")
_OLD_VERSION = ("unsupported protocol", "alert protocol version")
_NO_HTTP2 = ("no application protocol",)


def describe(chain: Sequence[Certificate], version: str, now: datetime) -> Finding:
    """Return the finding for a handshake that has succeeded. The server's own certificate is the first of *chain*."""
    if not chain:
        return Finding(STAGE, Verdict.OK, version)
    leaf = chain[0]
    issuers = " < ".join(certificate.issuer for certificate in chain)
    left = leaf.ends - now
    text = f"{version}, certificate for {leaf.shown_names} from {issuers}, valid until {_day(leaf.ends)}"
    if left < _SOON:
        return Finding(STAGE, Verdict.WARNING, f"{text}: {max(0, left.days)} days", "Have the certificate renewed.")
    return Finding(STAGE, Verdict.OK, text)


def explain_certificate(
    subject: Subject, reason: str, code: int, chain: Sequence[Certificate], now: datetime
) -> Finding:
    """Return the finding for a certificate that is not trusted. *code* is OpenSSL's, *reason* its text."""
    text, advice = _explanation(subject, reason, code, chain, now)
    return Finding(STAGE, Verdict.FAILED, text, advice)


def _explanation(
    subject: Subject, reason: str, code: int, chain: Sequence[Certificate], now: datetime
) -> tuple[str, str]:
    variable = subject.variable("CERTIFICATE")
    if not chain:
        return f"the certificate is not trusted: {reason}", f"Set {variable} to the authority that issued it."
    leaf = chain[0]
    if code == _EXPIRED:
        ended = min((certificate for certificate in chain), key=lambda each: each.ends)
        return (
            f"the certificate for {ended.shown_names} has expired on {_day(ended.ends)}; today is {_day(now)}",
            "Renew it on the server. If the date of today is wrong, set the clock of this machine.",
        )
    if code == _NOT_YET_VALID:
        begins = max(certificate.begins for certificate in chain)
        return (
            f"the certificate is valid from {_day(begins)} on; today is {_day(now)}",
            "If the date of today is wrong, set the clock of this machine. Otherwise wait, or replace the certificate.",
        )
    if code in _OTHER_HOST:
        return (
            f"the certificate is for {leaf.shown_names}, not for {subject.host}",
            f"Use a host of the certificate in {subject.variable('ENDPOINT')}, or have one issued for {subject.host}.",
        )
    return _unknown_issuer(chain, reason, code, variable)


def _unknown_issuer(chain: Sequence[Certificate], reason: str, code: int, variable: str) -> tuple[str, str]:
    leaf, length = chain[0], len(chain)
    if code == _SELF_SIGNED:
        return (
            f"the certificate for {leaf.shown_names} is signed by itself, and not trusted",
            f"Set {variable} to a PEM file with this certificate.",
        )
    if code == _SELF_SIGNED_IN_CHAIN:
        return (
            f"the authority at the end of the chain ({chain[-1].issuer}) is not trusted",
            f"Set {variable} to a PEM file with this authority.",
        )
    if code in _NO_ISSUER:
        sends = "only its own certificate" if length == 1 else f"{length} certificates"
        return (
            f"the authority {leaf.issuer} is not known, and the server sends {sends}",
            f"If it is a private authority, set {variable} to a PEM file with it."
            " If it is a public one, have the server send the intermediate certificates, too.",
        )
    if code in _NOT_STRICT:
        return (
            f"a certificate of the chain for {leaf.shown_names} is not as RFC 5280 wants it: {reason}",
            "Have it issued again with what is missing. Those of private authorities often lack it.",
        )
    return f"the certificate for {leaf.shown_names} is not trusted: {reason}", "See the reason that OpenSSL reports."


def explain_handshake(subject: Subject, reason: str, cause: Cause = Cause.OTHER) -> Finding:
    """Return the finding for a handshake that has failed for another reason than the server's certificate.

    *reason* ends in that of OpenSSL, if it has one.
    """
    endpoint = subject.variable("ENDPOINT")
    lower = reason.lower()

    def says(reasons: Sequence[str]) -> bool:
        return any(each in lower for each in reasons)

    if says(_NO_TLS):
        text = "the server does not use TLS on this port"
        advice = f"Write http:// in {endpoint}, or use the server's port for TLS."
    elif says(_NO_HTTP2):
        text = "the server does not offer HTTP/2, which gRPC needs"
        advice = f"Set {subject.variable('PROTOCOL')}=http/protobuf, or use the server's port for gRPC."
    elif says(_OLD_VERSION):
        text = f"the server uses a version of TLS that is too old: {reason}"
        advice = "Have TLS 1.2 or 1.3 enabled on the server."
    elif says(_NO_CLIENT_CERTIFICATE):
        return needs_client_certificate(subject, reason)
    elif cause is Cause.LATE:
        text = "the server does not respond to a TLS handshake"
        advice = f"If this port is not for TLS, write http:// in {endpoint}. Otherwise check the server."
    elif cause is Cause.CLOSED:
        text = "the server has closed the connection during the TLS handshake"
        advice = (
            f"Check that this port is for TLS, and that nothing between blocks {subject.host}:"
            " a firewall or a proxy may close connections by the name of the host."
        )
    else:
        text = f"the TLS handshake has failed: {reason}"
        advice = "See the reason that OpenSSL reports."
    return Finding(STAGE, Verdict.FAILED, text, advice)


def is_client_certificate_wanted(reason: str) -> bool:
    """Return whether *reason* is that of a server that wants another client certificate, or one at all."""
    return any(each in reason.lower() for each in _NO_CLIENT_CERTIFICATE)


def needs_client_certificate(subject: Subject, reason: str) -> Finding:
    """Return the finding for a server that wants a certificate of the client."""
    certificate, key = subject.variable("CLIENT_CERTIFICATE"), subject.variable("CLIENT_KEY")
    if subject.endpoint.client_certificate:
        text = f"the server does not accept the client certificate: {reason}"
        advice = f"Check that {certificate} and {key} are those that the server's authority has issued."
    else:
        text = f"the server wants a client certificate, and none is set: {reason}"
        advice = f"Set {certificate} and {key}."
    return Finding(STAGE, Verdict.FAILED, text, advice)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")
