import pytest

from telemetry_forwarder.errors import ForwarderError, LambdaRefusedError, LambdaUnreachableError, MessageError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LambdaUnreachableError("POST / at h: refused"), "POST / at h: refused"),
        (LambdaRefusedError("next", 403, b"\xff no"), "Lambda responded with 403 to next: \ufffd no"),
        (
            LambdaRefusedError("register", 403, b"a\x1b[2J\r\n\0b\xe2\x80\xaec"),
            "Lambda responded with 403 to register: a [2J   b c",
        ),
        (LambdaRefusedError("next", 403, b"x" * 1_000), f"Lambda responded with 403 to next: {'x' * 300}"),
        (MessageError(431, "the head is too large"), "the head is too large"),
    ],
)
def test_every_error_is_a_forwarder_error_with_a_short_message(error: ForwarderError, message: str) -> None:
    assert str(error) == message


def test_status_is_that_of_the_response_or_of_the_one_to_send() -> None:
    assert LambdaRefusedError("next", 403, b"").status == 403
    assert MessageError(431, "the head is too large").status == 431
