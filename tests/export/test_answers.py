"""The table of what counts as accepted: docs/delivery.md describes it in words."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch
from telemetry_forwarder.export.answers import NotOtlp, PartialSuccess, read_success
from telemetry_forwarder.transport.outcome import Response, response_of

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ITEMS = 10
# 60 bytes: in protobuf, "\n<" begins it.
WARNING_OF_60_BYTES = logs.ExportLogsServiceResponse(
    partial_success=logs.ExportLogsPartialSuccess(error_message="x" * 58)
)


def read(
    body: bytes, content_type: str = PROTOBUF, *, signal: str = LOGS, is_whole: bool = True
) -> PartialSuccess | NotOtlp:
    return read_success(Batch(signal, b"", ITEMS), Response(200, {"content-type": content_type}, body, is_whole))


class TestOtlp:
    @pytest.mark.parametrize("signal", SIGNALS)
    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (PROTOBUF, b""),
            (PROTOBUF, b"\x0a\x00"),
            (PROTOBUF, b"\xa0\x06\x07"),  # an unknown field
            (PROTOBUF, b"\x12\x01\xff"),  # an unknown field that no google.rpc.Status can have
            ("application/protobuf", b""),
            ("", b""),
            (JSON, b"{}"),
            ("Application/JSON; charset=utf-8", b' {"partialSuccess": {}}\n'),
            (JSON, b'{"partialSuccess": null}'),
            (JSON, b'{"partial_success": {}}'),
            # In another encoding than the content type says.
            (PROTOBUF, b"{}"),
            ("", b'{"partialSuccess": {}}'),
        ],
    )
    def test_success_accepts_everything(self, signal: str, content_type: str, body: bytes) -> None:
        assert read(body, content_type, signal=signal) == PartialSuccess()

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
    def test_partial_success_is_read(self, signal: str, response: Any, success: Any) -> None:
        body = response(partial_success=success).SerializeToString()

        assert read(body, signal=signal) == PartialSuccess(3, "too old")

    @pytest.mark.parametrize(
        ("signal", "name"), [(LOGS, "rejectedLogRecords"), (SPANS, "rejectedSpans"), (METRICS, "rejectedDataPoints")]
    )
    @pytest.mark.parametrize("rejected", ["3", '"3"'])
    @pytest.mark.parametrize("content_type", [JSON, PROTOBUF])
    def test_partial_success_is_read_from_json(self, signal: str, name: str, rejected: str, content_type: str) -> None:
        body = f'{{"partialSuccess": {{"{name}": {rejected}, "errorMessage": "too old"}}}}'.encode()

        assert read(body, content_type, signal=signal) == PartialSuccess(3, "too old")

    def test_partial_success_is_read_by_the_names_of_protobuf_too(self) -> None:
        body = b'{"partial_success": {"rejected_log_records": 3, "error_message": "too old"}}'

        assert read(body) == PartialSuccess(3, "too old")

    @pytest.mark.parametrize(("reported", "rejected"), [(-1, 0), (11, 10), (2**63 - 1, 10)])
    def test_rejected_count_is_between_none_and_all(self, reported: int, rejected: int) -> None:
        success = logs.ExportLogsPartialSuccess(rejected_log_records=reported)
        body = logs.ExportLogsServiceResponse(partial_success=success).SerializeToString()

        assert read(body) == PartialSuccess(rejected)

    @pytest.mark.parametrize(
        "partial",
        [
            b"[]",
            b'{"rejectedLogRecords": "many"}',
            b'{"rejectedLogRecords": 99999999999999999999999}',
            b'{"rejectedLogRecords": "' + b"9" * 5_000 + b'"}',
            b'{"errorMessage": null}',
            b'{"errorMessage": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
        ],
    )
    def test_what_is_not_of_its_type_is_ignored(self, partial: bytes) -> None:
        assert read(b'{"partialSuccess": ' + partial + b"}") == PartialSuccess()

    def test_message_is_masked_before_it_is_cut(self) -> None:
        success = logs.ExportLogsPartialSuccess(error_message="x" * 298 + "s3cret")
        body = logs.ExportLogsServiceResponse(partial_success=success).SerializeToString()
        response = Response(200, {"content-type": PROTOBUF}, body)

        success_read = read_success(Batch(LOGS, b"", ITEMS), response, lambda text: text.replace("s3cret", "***"))

        assert success_read == PartialSuccess(0, "x" * 298 + "**")


class TestAcceptance:
    """A response that is not one of OTLP, but does not show that nothing was accepted."""

    @pytest.mark.parametrize("content_type", [JSON, PROTOBUF, ""])
    @pytest.mark.parametrize(
        "body",
        [
            b"OK",
            b"ok\n",
            b'"OK"',
            b'""',
            b"null",
            b"true",
            b" success ",
            b"Accepted",
            b'{"success": true}',
            b'{"ok":1,"errors":[]}',
            b'{"status":"ok"}',
            b'{"code":0}',
            b'{"Status": "Success", "error": null}',
            b'{"status":"ok","code":200,"message":"OK"}',
            b'{"text":"Success","code":0}',
            b'{"errorCode": "0", "msg": "success", "data": {}}',
            b'{"partialSuccess": {}, "error": ""}',
        ],
    )
    def test_acknowledgement_accepts_everything(self, content_type: str, body: bytes) -> None:
        assert read(body, content_type) == PartialSuccess()

    @pytest.mark.parametrize("content_type", [JSON, PROTOBUF, ""])
    @pytest.mark.parametrize(
        "body",
        [
            b'{"status": "success", "data": {"resourceSpans": []}}',
            b'{"message": "received"}',
            b'{"message": "Forbidden"}',
            b'{"id": 7, "took": 3}',
            b'{"successes": ["a"], "errors": [{"id": "b", "status": 400}]}',
            b'{"code": 1001}',
            b'{"error": false}',
            b'{"partialSuccess": {}, "took": 3}',
        ],
    )
    def test_other_json_object_is_accepted_and_described(self, content_type: str, body: bytes) -> None:
        described = f"{content_type or 'a body'} that is no OTLP response"

        assert read(body, content_type) == PartialSuccess(foreign=described)

    @pytest.mark.parametrize("body", [b"", b"{}", b"OK", b"\x0a\x00"])
    @pytest.mark.parametrize(
        ("content_type", "foreign"),
        [
            ("Text/Plain; charset=utf-8", "text/plain"),
            ("application/octet-stream", "application/octet-stream"),
            ("text/json", "text/json"),
            ("x" * 300, "x" * 60),
        ],
    )
    def test_foreign_content_type_is_described(self, content_type: str, foreign: str, body: bytes) -> None:
        assert read(body, content_type) == PartialSuccess(foreign=foreign)

    def test_foreign_content_type_is_masked(self) -> None:
        response = Response(200, {"content-type": "text/secret"}, b"")

        success = read_success(Batch(LOGS, b"", ITEMS), response, lambda text: text.replace("secret", "***"))

        assert success == PartialSuccess(foreign="text/***")

    @pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/xhtml+xml"])
    @pytest.mark.parametrize("status", [200, 204])
    def test_empty_body_is_no_web_page(self, content_type: str, status: int) -> None:
        """Some frameworks declare a response as a web page unless they are told otherwise."""
        response = Response(status, {"content-type": content_type}, b"")

        foreign = content_type.partition(";")[0]
        assert read_success(Batch(LOGS, b"", ITEMS), response) == PartialSuccess(foreign=foreign)

    @pytest.mark.parametrize("status", [201, 202, 204, 299])
    def test_any_status_of_success_is_one(self, status: int) -> None:
        assert read_success(Batch(LOGS, b"", ITEMS), Response(status, {}, b"")) == PartialSuccess()

    @pytest.mark.parametrize("content_type", [JSON, PROTOBUF, ""])
    @pytest.mark.parametrize("body", [b"", b"\n\xff", b'{"error": "x', b"\x0a\x05"])
    def test_response_that_was_cut_accepts_everything(self, content_type: str, body: bytes) -> None:
        assert read(body, content_type, is_whole=False) == PartialSuccess()

    def test_message_that_begins_like_a_tag_is_none(self) -> None:
        body = WARNING_OF_60_BYTES.SerializeToString()

        assert body.startswith(b"\n<")
        assert read(body) == PartialSuccess(0, "x" * 58)


class TestNoAcceptance:
    """A response that no OTLP receiver sends when it has accepted a request."""

    @pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
    @pytest.mark.parametrize(
        ("body", "is_whole"), [(b"<html>", True), (b"Please log in", True), (b"OK", True), (b"{}", True), (b"", False)]
    )
    def test_web_page(self, content_type: str, body: bytes, is_whole: bool) -> None:
        shown = content_type.partition(";")[0].lower()

        assert read(body, content_type, is_whole=is_whole) == NotOtlp(shown)

    @pytest.mark.parametrize(
        "body",
        [
            b"<html>",
            b"<!doctype html><title>Log in</title>",
            b"<!-- a portal --><HTML>",
            b"\r\n <html>",
            b"\n<html>",
            b"\xef\xbb\xbf<html>",
            b"<?xml version='1.0'?><Error/>",
            b"<Error><Code>AccessDenied</Code></Error>",
        ],
    )
    @pytest.mark.parametrize("is_whole", [True, False])
    @pytest.mark.parametrize(
        ("content_type", "description"),
        [
            (PROTOBUF, f"{PROTOBUF} that is no OTLP response"),
            (JSON, f"{JSON} that is no OTLP response"),
            ("", "a body that is no OTLP response"),
            ("text/xml", "text/xml"),
        ],
    )
    def test_markup_of_any_content_type(self, content_type: str, description: str, body: bytes, is_whole: bool) -> None:
        assert read(body, content_type, is_whole=is_whole) == NotOtlp(description)

    @pytest.mark.parametrize("content_type", [JSON, PROTOBUF, ""])
    @pytest.mark.parametrize(
        "body",
        [
            b'{"error":"log in"}',
            b'{"Error":{"Code":"AuthFailure"}}',
            b'{"ERROR":["x"]}',
            b'{"error":true,"message":"x"}',
            b'{"status":"ok","error":"but no"}',
            b'{"success":false}',
            b'{"success":"False","data":null}',
            b'{"ok":0}',
            b'{"code":401,"msg":"token expired"}',
            b'{"statusCode":"503"}',
            b'{"status":500,"title":"Internal Server Error"}',
            b'{"status":"error","errorType":"bad_data"}',
            b'{"status":"Fail","data":{}}',
            b'{"code":"failure"}',
        ],
    )
    def test_json_that_reports_a_failure(self, content_type: str, body: bytes) -> None:
        assert read(body, content_type) == NotOtlp(f"{content_type or 'a body'} that is no OTLP response")

    @pytest.mark.parametrize("content_type", [JSON, PROTOBUF, "", "text/plain", "image/gif"])
    @pytest.mark.parametrize(
        "body",
        [
            b"Hello",
            b"Hi",  # In protobuf, an unknown field.
            b"3 events received",
            b"< 5 ms",
            b"7",
            b"[]x",
            b'["ok"]',
            b'"Forbidden"',
            b"GIF89a\x01\x00",
            b"\xff\xff",
            b"\x00",
        ],
    )
    def test_body_that_no_response_of_otlp_can_have(self, content_type: str, body: bytes) -> None:
        assert isinstance(read(body, content_type), NotOtlp)

    @pytest.mark.parametrize("signal", SIGNALS)
    def test_status_of_a_refusal_in_protobuf(self, signal: str) -> None:
        body = Status(code=14, message="unavailable").SerializeToString()

        assert read(body, signal=signal) == NotOtlp(f"{PROTOBUF} that is no OTLP response")

    @pytest.mark.parametrize("status", [200, 204])
    def test_response_of_another_protocol(self, status: int) -> None:
        response = Response(status, {"content-type": PROTOBUF}, b"", is_foreign=True)

        assert read_success(Batch(LOGS, b"", ITEMS), response) == NotOtlp(f"{PROTOBUF} that is no OTLP response")

    @pytest.mark.parametrize("body", [b'{"error":"x"}', b"<html>", b"\xef\xbb\xbf<html>"])
    @pytest.mark.parametrize(
        ("coding", "pack"), [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress)]
    )
    def test_compressed_body(self, body: bytes, coding: str, pack: Callable[[bytes], bytes]) -> None:
        response = response_of(200, {"content-encoding": coding}, pack(body))

        assert isinstance(read_success(Batch(LOGS, b"", ITEMS), response), NotOtlp)

    def test_compressed_body_that_was_cut(self) -> None:
        response = response_of(200, {"content-encoding": "gzip"}, gzip.compress(b"<html>")[:-4])

        assert isinstance(read_success(Batch(LOGS, b"", ITEMS), response), NotOtlp)


MEMBERS = st.text(max_size=3) | st.sampled_from(
    ["partialSuccess", "partial_success", "rejectedLogRecords", "errorMessage", "error", "success", "ok", "status"]
)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(MEMBERS, inner),
    max_leaves=5,
)


@given(
    st.sampled_from(SIGNALS),
    st.binary() | st.text().map(str.encode) | JSON_VALUES.map(orjson.dumps),
    st.sampled_from(["", JSON, PROTOBUF, "text/plain"]),
    st.booleans(),
)
def test_any_body_is_judged(signal: str, body: bytes, content_type: str, is_whole: bool) -> None:
    success = read(body, content_type, signal=signal, is_whole=is_whole)

    assert isinstance(success, NotOtlp) or 0 <= success.rejected <= ITEMS


@given(st.builds(logs.ExportLogsPartialSuccess, rejected_log_records=st.integers(0, ITEMS), error_message=st.text()))
def test_no_response_of_otlp_is_refused(success: logs.ExportLogsPartialSuccess) -> None:
    body = logs.ExportLogsServiceResponse(partial_success=success).SerializeToString()

    judged = read(body)

    assert isinstance(judged, PartialSuccess)
    assert (judged.rejected, judged.foreign) == (success.rejected_log_records, "")
