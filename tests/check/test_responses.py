"""What real servers rarely respond; tests/check/test_network.py has the rest."""

import pytest

from telemetry_forwarder.check.findings import Finding, Subject, Verdict
from telemetry_forwarder.check.known_backends import find_backend
from telemetry_forwarder.check.responses import Exchange, Other, explain
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.transport.outcome import Cause, Failure, FailureKind, Response

TEXT = {"content-type": "text/plain"}


def explained(
    outcome: Response | Failure,
    *,
    signal: str = "logs",
    host: str = "h",
    variable: str = "ENDPOINT_VARIABLE",
    other: Other | None = None,
    took_s: float = 0.01,
) -> Finding:
    endpoint = Endpoint(signal, f"http://{host}/v1/{signal}", {"authorization": "secret"})
    subject = Subject(endpoint, {"ENDPOINT": variable}, str)
    return explain(Exchange(subject, Batch(signal, b"", 1), outcome, took_s, 0.5, 10.0, find_backend(host), other))


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (301, "Put the address that it points to into ENDPOINT_VARIABLE."),
        (402, "The account has no credit"),
        (407, "The proxy wants a user and a password"),
        (418, "The endpoint refuses the request: see its message, and check http://h/v1/logs."),
        (426, "The endpoint wants another protocol: set TELEMETRY_FORWARDER_PROTOCOL=grpc"),
        (520, "The endpoint has failed by itself."),
    ],
)
def test_status(status: int, advice: str) -> None:
    finding = explained(Response(status, {**TEXT, "location": "http://other/"}, b"why"))

    assert finding.text.startswith(f"{status}: ")
    assert finding.advice.startswith(advice)


def test_path_of_a_known_back_end() -> None:
    finding = explained(Response(404, TEXT, b""), host="abc.live.dynatrace.com")

    assert finding.advice == "The base URL of Dynatrace ends in /api/v2/otlp: check ENDPOINT_VARIABLE."


def test_header_of_a_known_back_end() -> None:
    finding = explained(Response(401, TEXT, b""), host="api.honeycomb.io")

    assert finding.advice.endswith(" Honeycomb wants x-honeycomb-team=<API key>.")


def test_complete_url_of_a_signal_is_used_as_it_is() -> None:
    name = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"

    finding = explained(Response(404, TEXT, b""), variable=name)

    assert finding.advice == f"{name} is used as it is: it has to end in the path of logs, /v1/logs."


@pytest.mark.parametrize(("signal", "is_about"), [("metrics", True), ("logs", False)])
def test_temporality(signal: str, is_about: bool) -> None:
    finding = explained(Response(400, TEXT, b"invalid temporality and type combination"), signal=signal)

    advice = "Set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative (or delta, if it is cumulative now)."
    assert (finding.advice == advice) is is_about


def test_port_for_http_that_was_not_recognised() -> None:
    finding = explained(Failure(FailureKind.BROKEN, "in other words", Cause.HTTP1))

    assert finding.text == "the server responds with HTTP/1, so this is not a port for gRPC"


def test_connection_that_the_server_has_closed() -> None:
    finding = explained(Failure(FailureKind.BROKEN, "in other words", Cause.CLOSED))

    assert finding.text == "the server has ended the connection without a response (in other words)"


def test_what_works_in_its_place_comes_first() -> None:
    response = Response(400, TEXT, b"The plain HTTP request was sent to HTTPS port")

    finding = explained(response, other=Other.TLS)

    assert finding.text == ("400: The plain HTTP request was sent to HTTPS port: the server speaks TLS on this port")
    assert finding.advice == "Write https:// in ENDPOINT_VARIABLE."


@pytest.mark.parametrize(
    ("took_s", "verdict", "text"),
    [
        (0.4, Verdict.OK, "200 after 400 ms: accepted"),
        (9.0, Verdict.WARNING, "200 after 9000 ms: accepted, slower than the budget of 500 ms for each invocation"),
        # Lambda has frozen the process meanwhile.
        (300.0, Verdict.OK, "200: accepted"),
    ],
)
def test_time_of_a_freeze_does_not_count(took_s: float, verdict: Verdict, text: str) -> None:
    finding = explained(Response(200, {}, b""), took_s=took_s)

    assert (finding.verdict, finding.text) == (verdict, text)
