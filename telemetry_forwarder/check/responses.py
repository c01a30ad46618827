"""Explains what came in response to the marked item, in plain words, and what to do. Pure."""

from enum import Enum

from telemetry_forwarder.check.findings import Finding, Subject, Verdict
from telemetry_forwarder.check.known_backends import Backend
from telemetry_forwarder.check.tls_problems import is_client_certificate_wanted, needs_client_certificate
from telemetry_forwarder.core.batch import METRICS, Batch
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.endpoints.options import TEMPORALITY
from telemetry_forwarder.export.answers import NotOtlp, read_success
from telemetry_forwarder.export.responses import describe
from telemetry_forwarder.transport.outcome import Cause, Failure, FailureKind, Response

STAGE = "request"
_HTML = "<"
_LOGIN_WORDS = ("login", "signin", "sign-in", "oauth", "sso", "auth")
_TEMPORALITY_WORDS = ("temporality", "delta", "cumulative")


class Other(Enum):
    """What a server speaks instead of what is set, in words."""

    HTTP = "the server speaks OTLP/HTTP on this port, not gRPC"
    GRPC = "the server speaks gRPC on this port, not OTLP/HTTP"
    TLS = "the server speaks TLS on this port"


@frozen
class Exchange:
    """The marked item that was sent, and what came."""

    subject: Subject
    batch: Batch
    outcome: Response | Failure
    took_s: float
    budget_s: float
    """How long a slow endpoint may delay an invocation; 0 if none waits for it."""
    timeout_s: float
    """A response that took longer was awaited through a freeze of the process."""
    backend: Backend | None = None
    other: Other | None = None
    """What the server was found to speak instead, if anything."""


def explain(exchange: Exchange) -> Finding:
    """Return the finding for what came."""
    outcome = exchange.outcome
    if isinstance(outcome, Failure):
        return _explain_failure(exchange, outcome)
    if 200 <= outcome.status < 300:
        return _explain_success(exchange, outcome)
    text, advice = _refusal(exchange, outcome)
    return Finding(STAGE, Verdict.FAILED, text, advice)


def _explain_success(exchange: Exchange, response: Response) -> Finding:
    subject = exchange.subject
    read = read_success(exchange.batch, response, subject.mask)
    if isinstance(read, NotOtlp):
        body = response.body.lstrip()[:1].decode("latin-1")
        what = "a web page" if body == _HTML or "html" in read.description else read.description
        return Finding(
            STAGE,
            Verdict.FAILED,
            f"{response.status}, but with {what} instead of an OTLP response, so nothing counts as accepted",
            f"{subject.shown_url} is not an OTLP receiver, or something in between answers for it (a login page, a"
            f" proxy). Check host, port and path in {subject.variable('ENDPOINT')}.",
        )
    said = f": {read.message}" if read.message else ""
    if read.rejected:
        return Finding(
            STAGE,
            Verdict.FAILED,
            f"{response.status}, but the endpoint has rejected the item{said}",
            _about_temporality(exchange, read.message) or "The endpoint says why: change what it names.",
        )
    was_frozen = exchange.took_s > exchange.timeout_s
    took = "" if was_frozen else f" after {exchange.took_s * 1_000:.0f} ms"
    text = f"{response.status}{took}: accepted"
    if read.message:
        return Finding(STAGE, Verdict.WARNING, f"{text}, with a warning{said}", "The endpoint says what to change.")
    if read.foreign:
        advice = f"Check that {subject.shown_url} is an OTLP endpoint: OTLP receivers do not respond so."
        return Finding(STAGE, Verdict.WARNING, f"{text}, with {read.foreign}", advice)
    if exchange.took_s > exchange.budget_s > 0.0 and not was_frozen:
        return Finding(
            STAGE,
            Verdict.WARNING,
            f"{text}, slower than the budget of {exchange.budget_s * 1_000:.0f} ms for each invocation",
            "Use an endpoint in the same region, or TELEMETRY_FORWARDER_FLUSH=every 10 s. Nothing is lost:"
            " requests that take longer continue during the next invocation.",
        )
    return Finding(STAGE, Verdict.OK, text)


def _explain_failure(exchange: Exchange, failure: Failure) -> Finding:
    subject = exchange.subject
    detail = describe(failure, subject.mask)
    if failure.kind is not FailureKind.UNREACHABLE and is_client_certificate_wanted(detail):
        return needs_client_certificate(subject, detail)
    endpoint, protocol = subject.variable("ENDPOINT"), subject.variable("PROTOCOL")
    if exchange.other:
        text, advice = f"no usable response ({detail}): {exchange.other.value}", _switch(exchange)
    elif failure.kind is FailureKind.TIMED_OUT:
        text = f"no response within {exchange.took_s:.2g} s"
        advice = f"The server accepts connections, but does not respond: check {endpoint}, and the server itself."
    elif failure.cause is Cause.HTTP1:
        text = "the server responds with HTTP/1, so this is not a port for gRPC"
        advice = f"Set {protocol}=http/protobuf, or use the port for gRPC (of collectors: 4317) in {endpoint}."
    elif failure.cause is Cause.CLOSED:
        text = f"the server has ended the connection without a response ({detail})"
        advice = f"Check the server, and that the port in {endpoint} is that of OTLP over {subject.endpoint.protocol}."
    else:
        text = f"what came is not HTTP ({detail})"
        advice = f"Check the port in {endpoint}: it belongs to something else than an OTLP receiver."
    return Finding(STAGE, Verdict.FAILED, text, advice)


def _switch(exchange: Exchange) -> str:
    subject = exchange.subject
    if exchange.other is Other.TLS:
        return f"Write https:// in {subject.variable('ENDPOINT')}."
    if subject.is_grpc:
        return f"Set {subject.variable('PROTOCOL')}=http/protobuf."
    return f"Set {subject.variable('PROTOCOL')}=grpc, or use the port for OTLP/HTTP (of collectors: 4318)."


def _refusal(exchange: Exchange, response: Response) -> tuple[str, str]:
    """Return what a status that is no 2xx means, and what to do."""
    said = describe(response, exchange.subject.mask)
    if exchange.other:
        return f"{said}: {exchange.other.value}", _switch(exchange)
    if response.status in (401, 403, 407):
        return _credentials(exchange, response.status, said)
    if response.status == 404:
        return _not_found(exchange, said)
    if 300 <= response.status < 400:
        return said, _redirect(exchange, response)
    temporality = _about_temporality(exchange, said)
    return said, temporality or _ADVICE.get(response.status, _advice_by_class(response.status)).format(
        endpoint=exchange.subject.variable("ENDPOINT"),
        protocol=exchange.subject.variable("PROTOCOL"),
        compression=exchange.subject.variable("COMPRESSION"),
        url=exchange.subject.shown_url,
    )


_ADVICE = {
    400: "The endpoint does not understand the request. If its message does not say why, check that {url} is the"
    " path of this signal.",
    402: "The account has no credit or no plan for this signal: check it at the back end.",
    405: "{url} exists, but does not accept POST: it is not an OTLP receiver. Check the path in {endpoint}.",
    408: "The endpoint, or a proxy in front of it, waited too long. Try again.",
    411: "A proxy in front of the endpoint does not accept the request. Check {endpoint}.",
    413: "Even one item is too large for it: check the limits of the endpoint, and of proxies in front of it.",
    415: "It does not accept protobuf or gzip. Try {compression}=none. An endpoint for JSON only cannot be used.",
    421: "The name in {endpoint} is not one that this server is responsible for. Check the host.",
    426: "The endpoint wants another protocol: set {protocol}=grpc, or use its port for OTLP/HTTP.",
    429: "The quota or the rate limit of the account is used up. Telemetry is held and tried again.",
    501: "It does not support this signal: leave it out of TELEMETRY_FORWARDER_SIGNALS, or send it elsewhere.",
    502: "A load balancer responds, but the receiver behind it does not. Check that it runs. Telemetry is held.",
    503: "The receiver is overloaded or not ready. Telemetry is held and tried again.",
    504: "A load balancer responds, but the receiver behind it is too slow. Telemetry is held and tried again.",
}


def _advice_by_class(status: int) -> str:
    if status >= 500:
        return "The endpoint has failed by itself. Try again, and ask who runs it. OTLP forbids to repeat the request."
    return "The endpoint refuses the request: see its message, and check {url}."


def _credentials(exchange: Exchange, status: int, said: str) -> tuple[str, str]:
    subject, backend = exchange.subject, exchange.backend
    variable = subject.variable("HEADERS")
    if status == 407:
        return said, "The proxy wants a user and a password: write them into its URL, http://user:password@host:port."
    wanted = f" {backend.name} wants {backend.header}={backend.value}." if backend and backend.header else ""
    if not subject.endpoint.headers:
        return f"{said} (no header is sent)", f"Put the key into {variable}, as header=value.{wanted}"
    text = f"{said} (headers sent: {subject.headers})"
    if status == 401:
        return text, (
            f"The key is not accepted. Check {variable}: the name of the header, the word in front of the key"
            f" (Bearer, Basic, …), and that the key is complete, valid, and of this region and account.{wanted}"
        )
    return text, (
        f"The key in {variable} is not allowed to write {subject.signal}: check its permissions (scopes) at the back"
        f" end. A firewall in front of it may respond so, too.{wanted}"
    )


def _not_found(exchange: Exchange, said: str) -> tuple[str, str]:
    subject, backend = exchange.subject, exchange.backend
    endpoint = subject.variable("ENDPOINT")
    if subject.is_grpc:
        return f"{said} (called at {subject.shown_url})", (
            f"The server has no OTLP receiver for {subject.signal} here. Check the port in {endpoint}"
            " (of collectors: 4317), and that the receiver is enabled for this signal."
        )
    text = f"{said} (requested: {subject.shown_url})"
    if backend and backend.path:
        return text, f"The base URL of {backend.name} ends in {backend.path}: check {endpoint}."
    if endpoint.endswith(f"_{subject.signal.upper()}_ENDPOINT"):
        return (
            text,
            f"{endpoint} is used as it is: it has to end in the path of {subject.signal}, /v1/{subject.signal}.",
        )
    return text, (
        f"/v1/{subject.signal} was appended to {endpoint}. Check the path before it, and that the endpoint accepts"
        f" {subject.signal}. If its URL has no /v1/{subject.signal}, set the complete one in"
        f" TELEMETRY_FORWARDER_{subject.signal.upper()}_ENDPOINT."
    )


def _redirect(exchange: Exchange, response: Response) -> str:
    endpoint = exchange.subject.variable("ENDPOINT")
    location = response.headers.get("location", "")
    if any(word in location.lower() for word in _LOGIN_WORDS):
        return f"It is a login page, so this is not the address for telemetry: check {endpoint}."
    if exchange.subject.endpoint.is_insecure and location.startswith("https:"):
        return f"Write https:// in {endpoint}."
    return f"Put the address that it points to into {endpoint}."


def _about_temporality(exchange: Exchange, said: str) -> str:
    if exchange.subject.signal != METRICS or not any(word in said.lower() for word in _TEMPORALITY_WORDS):
        return ""
    return f"Set {TEMPORALITY}=cumulative (or delta, if it is cumulative now)."
