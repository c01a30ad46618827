"""The end of a call; details are encoded by Google's own classes."""

import gzip
from binascii import b2a_base64

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.transport.grpc.status import response_of_call
from telemetry_forwarder.transport.outcome import FailureKind, RequestError, Response
from tests.support.requests import raises

CALL = {":status": "200", "content-type": "application/grpc+proto"}
PROTOBUF = {"content-type": "application/x-protobuf"}


def details(*messages: object) -> str:
    packed = []
    for message in messages:
        any_message = AnyMessage()
        any_message.Pack(message)  # type: ignore[arg-type]
        packed.append(any_message)
    status = Status(code=14, message="busy", details=packed).SerializeToString()
    return b2a_base64(status, newline=False).decode().rstrip("=")


def refused(code: int, text: str = "", details: str = "") -> Response:
    trailers = {"grpc-status": str(code), "grpc-message": text, "grpc-status-details-bin": details}
    return response_of_call(CALL, b"", trailers)


def test_message_without_its_prefix_is_the_body() -> None:
    assert response_of_call(CALL, b"\0\0\0\0\4body", {"grpc-status": "0"}) == Response(200, PROTOBUF, b"body")


def test_status_may_be_in_the_headers() -> None:
    assert response_of_call({**CALL, "grpc-status": "3"}, b"", {}).status == 400
    assert response_of_call({**CALL, "grpc-status": "0"}, b"", {}) == Response(200, PROTOBUF, b"")


@pytest.mark.parametrize("body", [gzip.compress(b"body"), b"not gzip"])
def test_compressed_message_is_decompressed_if_possible(body: bytes) -> None:
    response = response_of_call({**CALL, "grpc-encoding": "gzip"}, b"\1\0\0\0\0" + body, {"grpc-status": "0"})

    assert response == Response(200, PROTOBUF, b"body" if body[:1] == b"\x1f" else body)


def test_decompressed_message_is_cut() -> None:
    body = b"\1\0\0\0\0" + gzip.compress(bytes(1_000_000))

    assert len(response_of_call({**CALL, "grpc-encoding": "gzip"}, body, {"grpc-status": "0"}).body) == 65_536


def test_call_that_broke_off_after_its_message_has_succeeded() -> None:
    response = response_of_call(CALL, b"\0\0\0\0\4bo", {}, has_ended=False)

    assert response == Response(200, PROTOBUF, b"bo", is_whole=False)


def test_web_page_that_is_declared_as_a_call_is_returned_whole() -> None:
    assert response_of_call(CALL, b"<html>", {}, has_ended=False).body == b"<html>"


def test_text_of_a_refusal_is_decoded() -> None:
    assert refused(13, "no%0Away %E2%9C%93").body == "no\nway ✓".encode()


@pytest.mark.parametrize(
    "text",
    [
        "grpc: received message larger than max (5 vs. 4)",
        "SERVER: Received message larger than max (5 vs. 4)",
        "gRPC message exceeds maximum size 4: 5",
        "Received message exceeds the maximum configured message size.",
        "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
    ],
)
@pytest.mark.parametrize("code", [8, 11])
def test_request_that_is_too_large(code: int, text: str) -> None:
    assert refused(code, text).status == 413
    assert refused(13, text).status == 500


@pytest.mark.parametrize(
    ("seconds", "nanos", "delay"), [(0, 0, "0"), (3, 0, "3"), (0, 1, "1"), (2, 500_000_000, "3"), (-1, -5, "0")]
)
def test_delay_is_rounded_up_to_seconds(seconds: int, nanos: int, delay: str) -> None:
    info = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))

    for code, status in ((8, 429), (14, 503), (1, 503)):
        response = refused(code, details=details(ErrorInfo(reason="busy"), info))
        assert (response.status, response.headers["retry-after"]) == (status, delay)


def test_retry_info_without_a_delay_allows_to_repeat_at_once() -> None:
    assert refused(8, details=details(RetryInfo())).headers["retry-after"] == "0"


def test_number_of_more_than_ten_bytes_is_not_read() -> None:
    number = b"\x80" * 10 + b"\x01"
    info = AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a\x0c\x08" + number)
    unread = b2a_base64(Status(details=[info]).SerializeToString(), newline=False).decode()

    assert "retry-after" not in refused(14, details=unread).headers


@pytest.mark.parametrize("text", ["", "!", "//8", "Gg8", "GgUKAwoB/w", "GQ", "CIAB", details(ErrorInfo(reason="x"))])
def test_details_without_a_delay(text: str) -> None:
    response = refused(8, details=text)

    assert (response.status, response.headers) == (500, {"content-type": "text/plain"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({":status": "413", "content-type": "text/html"}, 413),
        ({":status": "503", "content-type": "text/html", "retry-after": "3"}, 503),
        ({":status": "307", "location": "https://other"}, 307),
        ({":status": "200", "content-type": "text/html"}, 200),
        ({":status": "429", "content-type": "application/grpc"}, 429),
    ],
)
def test_response_of_something_else_is_that_of_http(headers: dict[str, str], status: int) -> None:
    kept = {name: value for name, value in headers.items() if name != ":status"}

    assert response_of_call(headers, b"<html>", {}) == Response(status, kept, b"<html>", is_foreign=True)


@pytest.mark.parametrize("headers", [{}, {":status": "2x0"}, {":status": "0200"}, CALL, {**CALL, "grpc-status": "x"}])
def test_response_without_a_status_is_none(headers: dict[str, str]) -> None:
    with raises(FailureKind.BROKEN, match="the response has no status"):
        response_of_call(headers, b"", {})


_TEXT = st.text(max_size=12) | st.text("0123456789", max_size=12)
_HEADERS = st.dictionaries(
    st.sampled_from(["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "content-type"])
    | st.just(":status"),
    _TEXT | st.just("200") | st.just("application/grpc"),
)


@given(_HEADERS, st.binary(max_size=30), _HEADERS)
def test_any_end_is_a_response_or_none(headers: dict[str, str], body: bytes, trailers: dict[str, str]) -> None:
    try:
        response = response_of_call(headers, body, trailers)
    except RequestError:
        return
    assert 200 <= response.status < 600


@given(st.binary(max_size=60))
def test_any_details_are_read(details: bytes) -> None:
    assert refused(14, details=b2a_base64(details, newline=False).decode()).status == 503
