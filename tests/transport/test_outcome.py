from telemetry_forwarder.transport.outcome import KEPT_HEADERS, MAX_BODY_BYTES, Failure, FailureKind, Response


def test_outcomes_are_compared_by_value() -> None:
    assert Failure(FailureKind.BROKEN, "reset") == Failure(FailureKind.BROKEN, "reset")
    assert Response(200, {}, b"") == Response(200, {}, b"")
    assert Response(200, {}, b"") != Response(202, {}, b"")


def test_kept_headers_are_in_lower_case_like_those_of_a_message() -> None:
    assert [name.lower() for name in KEPT_HEADERS] == list(KEPT_HEADERS)


def test_message_of_an_error_fits_into_the_body_that_is_read() -> None:
    assert MAX_BODY_BYTES >= 4_096
