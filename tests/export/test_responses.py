import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.export.responses import describe, retry_after_s
from telemetry_forwarder.transport.outcome import Failure, FailureKind, Response

PROTOBUF = {"content-type": "application/x-protobuf"}
TEXT = {"content-type": "text/html; charset=utf-8"}
NOW_NS = 1_445_412_480_000_000_000  # Wed, 21 Oct 2015 07:28:00 GMT


def hide(text: str) -> str:
    return text.replace("s3cret", "***").replace("pass  word", "***")


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
            (Response(401, TEXT, b"no  pass  word \r\n allowed"), "401: no *** allowed"),
        ],
    )
    def test_description_is_redacted(self, outcome: Response | Failure, description: str) -> None:
        assert describe(outcome, hide) == description


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
