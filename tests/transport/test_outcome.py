import gzip

from telemetry_forwarder.transport.outcome import (
    KEPT_HEADERS,
    MAX_BODY_BYTES,
    Failure,
    FailureKind,
    Response,
    response_of,
)


def test_outcomes_are_compared_by_value() -> None:
    assert Failure(FailureKind.BROKEN, "reset") == Failure(FailureKind.BROKEN, "reset")
    assert Response(200, {}, b"") == Response(200, {}, b"")
    assert Response(200, {}, b"") != Response(202, {}, b"")


def test_kept_headers_are_in_lower_case_like_those_of_a_message() -> None:
    assert [name.lower() for name in KEPT_HEADERS] == list(KEPT_HEADERS)


def test_message_of_an_error_fits_into_the_body_that_is_read() -> None:
    assert MAX_BODY_BYTES >= 4_096


def test_compressed_body_is_decompressed_up_to_the_limit() -> None:
    headers = {"content-encoding": "gzip"}
    bomb = gzip.compress(bytes(10_000_000))

    assert response_of(200, headers, gzip.compress(b"{}")) == Response(200, {}, b"{}")
    assert response_of(200, headers, bomb) == Response(200, {}, bytes(MAX_BODY_BYTES), is_whole=False)
    assert response_of(200, headers, b"not compressed") == Response(200, {}, b"not compressed", is_whole=False)
