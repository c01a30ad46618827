from typing import Any

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch
from telemetry_forwarder.endpoints.endpoint import Endpoint
from telemetry_forwarder.export.responses import (
    PartialSuccess,
    describe,
    partial_success,
    retry_after_s,
    secret_values,
)
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response

PROTOBUF = {"content-type": "application/x-protobuf"}
TEXT = {"content-type": "text/html; charset=utf-8"}
NOW_NS = 1_445_412_480_000_000_000  # Wed, 21 Oct 2015 07:28:00 GMT


def took(signal: str, body: bytes) -> PartialSuccess:
    return partial_success(Batch(signal, b"", 10), Response(200, PROTOBUF, body))


@pytest.mark.parametrize("signal", SIGNALS)
def test_empty_answer_took_everything(signal: str) -> None:
    assert took(signal, b"") == PartialSuccess(0, "")


@pytest.mark.parametrize(
    ("signal", "response", "success"),
    [
        (
            LOGS,
            logs.ExportLogsServiceResponse,
            logs.ExportLogsPartialSuccess(rejected_log_records=3, error_message="too old"),
        ),
        (
            SPANS,
            trace.ExportTraceServiceResponse,
            trace.ExportTracePartialSuccess(rejected_spans=3, error_message="too old"),
        ),
        (
            METRICS,
            metrics.ExportMetricsServiceResponse,
            metrics.ExportMetricsPartialSuccess(rejected_data_points=3, error_message="too old"),
        ),
    ],
)
def test_partial_success_is_read(signal: str, response: Any, success: Any) -> None:
    body = response(partial_success=success).SerializeToString()

    assert took(signal, body) == PartialSuccess(3, "too old")


@pytest.mark.parametrize(("said", "rejected"), [(-1, 0), (11, 10), (2**63 - 1, 10)])
def test_never_more_and_never_less_is_rejected_than_was_sent(said: int, rejected: int) -> None:
    success = logs.ExportLogsPartialSuccess(rejected_log_records=said)
    body = logs.ExportLogsServiceResponse(partial_success=success).SerializeToString()

    assert took(LOGS, body) == PartialSuccess(rejected, "")


@pytest.mark.parametrize(
    ("content_type", "foreign"),
    [
        ("application/x-protobuf", ""),
        ("Application/JSON; charset=utf-8", ""),
        (" ", ""),
        ("text/html; charset=utf-8", "text/html"),
        ("x" * 300, "x" * 60),
        ("text/SECRET", "text/***"),
    ],
)
def test_content_type_of_something_else_is_noted(content_type: str, foreign: str) -> None:
    answer = Response(200, {"content-type": content_type}, b"")

    assert partial_success(Batch(LOGS, b"", 10), answer, ("SECRET",)) == PartialSuccess(foreign_type=foreign)


def test_page_that_is_no_message_has_its_content_type_noted() -> None:
    assert partial_success(Batch(LOGS, b"", 10), Response(200, TEXT, b"<html>")) == PartialSuccess(
        is_readable=False, foreign_type="text/html"
    )


def test_answer_without_a_content_type_is_of_no_other() -> None:
    assert partial_success(Batch(LOGS, b"", 10), Response(200, {}, b"")) == PartialSuccess()


class TestSecrets:
    """What we have sent may come back, and is not quoted."""

    @pytest.mark.parametrize(
        ("endpoint", "found"),
        [
            (Endpoint(LOGS, "https://h/", {"api-key": "s3cret"}), ["s3cret"]),
            (Endpoint(LOGS, "https://h/", {"a": "Bearer s3cret"}), ["Bearer s3cret", "s3cret"]),
            (
                Endpoint(LOGS, "https://h/", {"a": "Basic dXNlcjpzM2NyZXQ="}),
                ["Basic dXNlcjpzM2NyZXQ=", "dXNlcjpzM2NyZXQ=", "user:s3cret", "s3cret", "user"],
            ),
            (Endpoint(LOGS, "https://h/", {"a": "Basic x"}), ["Basic x"]),
            (Endpoint(LOGS, "https://h/", {"a": "Basic /////w=="}), ["Basic /////w==", "/////w=="]),
            (Endpoint(LOGS, "https://h/", {"a": "1", "b": "yes"}), []),
            (Endpoint(LOGS, "https://h/?api_key=s3cr%20et&b=1"), ["s3cr%20et", "s3cr et"]),
            (Endpoint(LOGS, "https://h/?s3cret"), ["s3cret"]),
            (
                Endpoint(LOGS, "https://h/", proxy="http://user:s3cret@p"),
                ["Basic dXNlcjpzM2NyZXQ=", "dXNlcjpzM2NyZXQ=", "user:s3cret", "s3cret", "user"],
            ),
        ],
    )
    def test_they_are_what_only_we_and_the_endpoint_know_the_longest_first(
        self, endpoint: Endpoint, found: list[str]
    ) -> None:
        assert secret_values(endpoint) == tuple(found)

    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (Response(401, TEXT, b"invalid token: Bearer s3cret"), "401: invalid token: Bearer ***"),
            (Response(401, TEXT, b"x" * 297 + b"s3cret"), "401: " + "x" * 297 + "***"),
            (Response(401, TEXT, b" " * 1197 + b"s3cret"), "401: ***"),
            (Response(401, PROTOBUF, Status(message="no s3cret").SerializeToString()), "401: no ***"),
            (
                Response(302, {"location": "https://h/s3cret"}, b""),
                "302: redirects are not followed, this one points to https://h/***",
            ),
            (Failure(FailureKind.UNREACHABLE, "proxy: 407 s3cret"), "proxy: 407 ***"),
        ],
    )
    def test_they_are_not_in_a_refusal(self, reply: Response | Failure, said: str) -> None:
        assert describe(reply, ("s3cret",)) == said

    def test_they_are_not_in_the_message_of_a_partial_success(self) -> None:
        success = logs.ExportLogsPartialSuccess(error_message="x" * 298 + "s3cret")
        body = logs.ExportLogsServiceResponse(partial_success=success).SerializeToString()

        taken = partial_success(Batch(LOGS, b"", 10), Response(200, PROTOBUF, body), ("s3cret",))

        assert taken.message == "x" * 298 + "**"


def test_garbage_took_everything() -> None:
    assert took(LOGS, b"<html>") == PartialSuccess(is_readable=False)


@given(st.sampled_from(SIGNALS), st.binary())
def test_any_body_is_an_answer(signal: str, body: bytes) -> None:
    assert 0 <= took(signal, body).rejected <= 10


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (400, PROTOBUF, Status(code=3, message="bad span").SerializeToString(), "400: bad span"),
        (400, PROTOBUF, b"\xff\xff", "400: \ufffd\ufffd"),
        (401, TEXT, b"<h1>No\r\n  entry\x00</h1>", "401: <h1>No entry </h1>"),
        (500, {}, b"", "500: without a message"),
        (500, {}, b"x" * 60_000, "500: " + "x" * 300),
        (500, PROTOBUF, Status(message="x" * 60_000).SerializeToString(), "500: " + "x" * 300),
        (
            302,
            {"location": "https://me:SECRET@h/login?key=SECRET"},
            b"",
            "302: redirects are not followed, this one points to https://h/login",
        ),
        (302, {"location": "/login"}, b"", "302: redirects are not followed, this one points to elsewhere"),
        (304, {}, b"", "304: redirects are not followed, this one points to nowhere"),
    ],
)
def test_refusal(status: int, headers: dict[str, str], body: bytes, said: str) -> None:
    assert describe(Response(status, headers, body)) == said


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30", 30.0),
        ("Wed, 21 Oct 2015 08:28:30 +0100", 30.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("9" * 400, 3600.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Wed, 99 Oct 2015 07:28:30 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_s(Response(503, {"retry-after": value}, b""), NOW_NS) == seconds


def test_retry_after_that_is_not_there() -> None:
    assert retry_after_s(Response(503, {}, b""), NOW_NS) is None


_NUMBER = st.integers(0, 10**20).map(str)


@given(
    st.text("09 ,:+-.GMTWedOct")
    | st.builds("Wed, {} Oct {} {}:{}:{} {}{}".format, *[_NUMBER] * 5, st.sampled_from("+-"), _NUMBER)
)
def test_any_retry_after_is_a_time_within_an_hour_or_none(value: str) -> None:
    seconds = retry_after_s(Response(503, {"retry-after": value}, b""), NOW_NS)

    assert seconds is None or 0 <= seconds <= 3600
