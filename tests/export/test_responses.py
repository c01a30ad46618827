import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch
from telemetry_forwarder.export.responses import NotOtlp, PartialSuccess, describe, read_success, retry_after_s
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response, response_of

PROTOBUF = {"content-type": "application/x-protobuf"}
TEXT = {"content-type": "text/html; charset=utf-8"}
NOW_NS = 1_445_412_480_000_000_000  # Wed, 21 Oct 2015 07:28:00 GMT


def read(
    signal: str, body: bytes, content_type: str = "application/x-protobuf", *, is_whole: bool = True
) -> PartialSuccess | NotOtlp:
    return read_success(Batch(signal, b"", 10), Response(200, {"content-type": content_type}, body, is_whole))


@pytest.mark.parametrize("signal", SIGNALS)
def test_empty_response_accepts_everything(signal: str) -> None:
    assert read(signal, b"") == PartialSuccess(0, "")


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

    assert read(signal, body) == PartialSuccess(3, "too old")


@pytest.mark.parametrize(("reported", "rejected"), [(-1, 0), (11, 10), (2**63 - 1, 10)])
def test_rejected_count_is_between_none_and_all(reported: int, rejected: int) -> None:
    success = logs.ExportLogsPartialSuccess(rejected_log_records=reported)
    body = logs.ExportLogsServiceResponse(partial_success=success).SerializeToString()

    assert read(LOGS, body) == PartialSuccess(rejected, "")


@pytest.mark.parametrize(
    ("content_type", "foreign"),
    [
        ("application/x-protobuf", ""),
        ("Application/JSON; charset=utf-8", ""),
        (" ", ""),
        ("Text/Plain; charset=utf-8", "text/plain"),
        ("x" * 300, "x" * 60),
        ("text/secret", "text/***"),
    ],
)
def test_foreign_content_type_is_noted(content_type: str, foreign: str) -> None:
    response = Response(200, {"content-type": content_type}, b"")

    assert read_success(Batch(LOGS, b"", 10), response, lambda text: text.replace("secret", "***")) == PartialSuccess(
        foreign_type=foreign
    )


@pytest.mark.parametrize("body", [b"", b"<html>Log in", b"OK", b"{}"])
@pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_web_page_is_no_otlp_response(content_type: str, body: bytes, is_whole: bool) -> None:
    shown = content_type.partition(";")[0].lower()

    assert read(LOGS, body, content_type, is_whole=is_whole) == NotOtlp(shown)


@pytest.mark.parametrize(
    ("content_type", "body", "description"),
    [
        ("application/x-protobuf", b"<html>", "application/x-protobuf that is no OTLP response"),
        ("", b"<!doctype html>", "a body that is no OTLP response"),
        ("", b"\r\n <html>", "a body that is no OTLP response"),
        ("text/plain", b"Please log in", "text/plain"),
        ("text/xml", b"<?xml version='1.0'?>", "text/xml"),
        ("image/png", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("application/json", b"<html>", "application/json that is no OTLP response"),
        ("application/json", b'"<html>"', "application/json that is no OTLP response"),
        ("application/json", b"[]", "application/json that is no OTLP response"),
        ("application/json", b'{"error": "log in"}', "application/json that is no OTLP response"),
        ("", b'{"errors": ["log in"]}', "a body that is no OTLP response"),
    ],
)
def test_body_that_no_receiver_sends_is_no_otlp_response(content_type: str, body: bytes, description: str) -> None:
    assert read(LOGS, body, content_type) == NotOtlp(description)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("", b""),
        ("application/json", b""),
        ("application/json", b"{}"),
        ("application/json; charset=utf-8", b' {"partialSuccess": {}}\n'),
        ("application/json", b'{"partialSuccess": null, "errors": false}'),
        ("application/json", b'{"message": "received"}'),
        ("application/json", b'{"partial_success": {}}'),
        ("application/json", b'{"success": true}'),
        ("application/json", b'{"ok":1,"errors":[]}'),
        ("application/json", b'{"Status": "Success", "error": null}'),
        ("application/json", b'{"status":"ok","code":200,"message":"OK, 0 errors"}'),
        ("application/json", b'{"text":"Success","code":0}'),
        ("application/json", b'{"errorCode": "0", "msg": "success"}'),
        ("application/json", b'"OK"'),
        ("application/json", b'""'),
        ("application/json", b"null"),
        ("application/x-protobuf", b"{}"),
        ("", b"success"),
    ],
)
def test_what_real_receivers_respond_accepts_everything(content_type: str, body: bytes) -> None:
    assert read(LOGS, body, content_type) == PartialSuccess()


@pytest.mark.parametrize(
    "body",
    [
        b'{"message":"Forbidden"}',
        b'{"Message":"User is not authorized to access this resource"}',
        b'{"msg":"Missing Authentication Token"}',
        b'{"Error":"x"}',
        b'{"ERRORS":["x"]}',
        b'{"success":false}',
        b'{"success":"false","data":null}',
        b'{"ok":0}',
        b'{"code":401}',
        b'{"statusCode":"503"}',
        b'{"status":500,"title":"Internal Server Error"}',
        b'{"status":"error"}',
        b'{"status":"failed"}',
        b'{"result":"FAILURE"}',
        b'{"errorMessage":"Task timed out","errorType":"Runtime"}',
        b'{"error_message":"x"}',
        b'{"fault":{"faultstring":"x"}}',
        b'{"__type":"AccessDeniedException"}',
        b'{"code":16,"message":"unauthenticated"}',
        b'{"text":"Invalid token","code":4}',
        b'{"Response":{"Error":{"Code":"AuthFailure"}}}',
        b'{"meta":{"status":401},"data":{}}',
        b'{"partialSuccess":{},"exception":"x"}',
        b'{"status":"ok","error":"but no"}',
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", ""])
def test_json_that_says_no_is_no_otlp_response(content_type: str, body: bytes) -> None:
    assert read(LOGS, body, content_type) == NotOtlp(f"{content_type or 'a body'} that is no OTLP response")


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": 7}',
        b'{"success": true, "message": "some attributes are not indexed"}',
        b'{"message": "hello"}',
        b'{"code": 1001}',
        b'{"success": [], "status": {}}',
        b'{"a": {"b": {"c": {"d": {"error": "too deep"}}}}}',
        b'{"partialSuccess": {}, "took": 3}',
    ],
)
def test_json_of_something_else_is_accepted_and_noted(body: bytes) -> None:
    assert read(LOGS, body) == PartialSuccess(foreign_type="JSON that is no OTLP response")


def test_partial_success_is_read_by_the_names_of_protobuf_too() -> None:
    body = b'{"partial_success": {"rejected_log_records": 3, "error_message": "too old"}}'

    assert read(LOGS, body) == PartialSuccess(3, "too old")


@pytest.mark.parametrize("body", [b'{"error":"x"}', b"<html>", b"\xef\xbb\xbf<html>"])
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("gzip", lambda b: gzip.compress(b)[:-4]),
    ],
)
def test_compressed_body_is_judged_as_it_is(body: bytes, coding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(body)
    response = response_of(200, {"content-encoding": coding}, packed)

    assert isinstance(read_success(Batch(LOGS, b"", 10), response), NotOtlp) or (
        body[:1] == b"{" and not response.is_whole
    )


def test_status_204_accepts_everything() -> None:
    assert read_success(Batch(LOGS, b"", 10), Response(204, TEXT, b"")) == PartialSuccess()


@pytest.mark.parametrize(
    ("signal", "name"), [(LOGS, "rejectedLogRecords"), (SPANS, "rejectedSpans"), (METRICS, "rejectedDataPoints")]
)
@pytest.mark.parametrize("count", ["3", '"3"'])
def test_partial_success_is_read_from_json(signal: str, name: str, count: str) -> None:
    body = f'{{"partialSuccess": {{"{name}": {count}, "errorMessage": "too old"}}}}'.encode()

    assert read(signal, body, "application/json") == PartialSuccess(3, "too old")


def test_rejected_count_that_is_no_number_is_none() -> None:
    assert read(LOGS, b'{"partialSuccess": {"rejectedLogRecords": "many"}}') == PartialSuccess()


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json", ""])
def test_response_that_was_cut_accepts_everything_unless_it_is_a_web_page(content_type: str) -> None:
    page = NotOtlp(f"{content_type or 'a body'} that is a web page")

    assert read(LOGS, b"\n\xff", content_type, is_whole=False) == PartialSuccess()
    assert read(LOGS, b"\r\n<html>", content_type, is_whole=False) == page


def hide(text: str) -> str:
    return text.replace("s3cret", "***")


class TestSecrets:
    """An endpoint may quote what was sent to it: secrets are not logged."""

    @pytest.mark.parametrize(
        ("outcome", "description"),
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
    def test_description_is_redacted(self, outcome: Response | Failure, description: str) -> None:
        assert describe(outcome, hide) == description

    def test_message_of_a_partial_success_is_redacted(self) -> None:
        success = logs.ExportLogsPartialSuccess(error_message="x" * 298 + "s3cret")
        body = logs.ExportLogsServiceResponse(partial_success=success).SerializeToString()

        read_back = read_success(Batch(LOGS, b"", 10), Response(200, PROTOBUF, body), hide)

        assert isinstance(read_back, PartialSuccess)
        assert read_back.message == "x" * 298 + "**"


@given(st.sampled_from(SIGNALS), st.binary() | st.text().map(str.encode), st.sampled_from(["", "application/json"]))
def test_any_body_can_be_read(signal: str, body: bytes, content_type: str) -> None:
    success = read(signal, body, content_type)

    assert isinstance(success, NotOtlp) or 0 <= success.rejected <= 10


@pytest.mark.parametrize(
    ("status", "headers", "body", "description"),
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
def test_describe(status: int, headers: dict[str, str], body: bytes, description: str) -> None:
    assert describe(Response(status, headers, body)) == description


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


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Mon, 20 Oct 2014 07:28:00 GMT", 30),
        ("Mon, 20 Oct 2014 06:00:00 GMT", 3_600),
        ("Mon, 20 Oct 2014 09:28:00 GMT", 0),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_date_to_retry_after_is_by_the_clock_of_the_endpoint(date: str, seconds: float) -> None:
    """By ours it has passed a year ago."""
    headers = {"retry-after": "Mon, 20 Oct 2014 07:28:30 GMT", "date": date}

    assert retry_after_s(Response(503, headers, b""), NOW_NS) == seconds


def test_missing_retry_after() -> None:
    assert retry_after_s(Response(503, {}, b""), NOW_NS) is None


_NUMBER = st.integers(0, 10**20).map(str)


@given(
    st.text("09 ,:+-.GMTWedOct")
    | st.builds("Wed, {} Oct {} {}:{}:{} {}{}".format, *[_NUMBER] * 5, st.sampled_from("+-"), _NUMBER)
)
def test_any_retry_after_is_within_an_hour_or_none(value: str) -> None:
    seconds = retry_after_s(Response(503, {"retry-after": value}, b""), NOW_NS)

    assert seconds is None or 0 <= seconds <= 3600
