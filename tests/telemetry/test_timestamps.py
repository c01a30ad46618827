from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.timestamps import parse_time_ns

# 2026-09-22T06:30:00Z
MORNING = 1_790_058_600
S = 1_000_000_000


@pytest.mark.parametrize(
    ("value", "moment_ns"),
    [
        ("2026-09-22T06:30:00.123Z", MORNING * S + 123_000_000),
        ("2026-09-22T06:30:00Z", MORNING * S),
        ("2026-09-22T06:30:00", MORNING * S),
        ("2026-09-22T06:30Z", MORNING * S),
        ("2026-09-22T06:30:00.5Z", MORNING * S + 500_000_000),
        ("2026-09-22T06:30:00.123456Z", MORNING * S + 123_456_000),
        ("2026-09-22T06:30:00.123456789Z", MORNING * S + 123_456_789),
        ("2026-09-22T06:30:00.123456789123Z", MORNING * S + 123_456_789),
        ("2026-09-22T06:30:00.123456", MORNING * S + 123_456_000),
        ("2026-09-22 06:30:00,123", MORNING * S + 123_000_000),
        ("2026-09-22 06:30:00,123+0000", MORNING * S + 123_000_000),
        ("2026-09-22T08:30:00.123+02:00", MORNING * S + 123_000_000),
        ("2026-09-22T01:00:00.123-0530", MORNING * S + 123_000_000),
        ("2026-09-22T08:30+02", MORNING * S),
        ("2026-09-22T12:00+05:30", MORNING * S),
        ("2026-09-22 06:30:00 UTC", MORNING * S),
        ("2026-09-22 06:30:00 +0000", MORNING * S),
        ("2026/09/22 06:30:00", MORNING * S),
        (" 2026-09-22T06:30:00z ", MORNING * S),
        # As AWS's documentation prints it.
        ("2026-09-22T06:30:00:123Z", MORNING * S + 123_000_000),
        ("2026-09-22T06:29:60Z", MORNING * S),
        (MORNING, MORNING * S),
        (MORNING * 1_000 + 1, MORNING * S + 1_000_000),
        (MORNING * 1_000_000 + 1, MORNING * S + 1_000),
        (MORNING * S + 1, MORNING * S + 1),
        (MORNING + 0.25, MORNING * S + 250_000_000),
        (MORNING * 1_000 + 0.5, MORNING * S + 500_000),
        (str(MORNING), MORNING * S),
        (f"{MORNING}.123456789", MORNING * S + 123_456_789),
        (f"{MORNING}.", MORNING * S),
        (f"{MORNING * 1_000}.5", MORNING * S + 500_000),
        (str(MORNING * S + 1), MORNING * S + 1),
        ("2000-01-01T00:00:00Z", 946_684_800 * S),
        ("2262-04-11T23:47:16.854775807Z", (1 << 63) - 1),
    ],
)
def test_valid_time_is_parsed(value: Any, moment_ns: int) -> None:
    assert parse_time_ns(value) == moment_ns


@pytest.mark.parametrize(
    "value",
    [
        "",
        "invalid",
        "06:30:00",
        "2026-09-22",
        "2026-02-30T06:30:00.123Z",
        "2026-13-01T06:30:00Z",
        "2026-09-22T24:30:00Z",
        "2026-09-22T06:60:00Z",
        "2026-09-22T06:30:61Z",
        "2026-09-22T06:30:00.Z",
        "2026-09-22T06:30:00.12x3Z",
        "2026-09-22T06:30:00-123Z",
        "2026-09-22T06:30:00+99:00",
        "1999-12-31T23:59:59.999Z",
        "2262-04-11T23:47:16.854775808Z",
        "2263-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "0000-00-00T00:00:00Z",
        "123456789",
        "12345678901234567890",
        "9223372036.9",
        0,
        -1,
        5,
        True,
        10**30,
        99_999_999_999,
        0.53,
        -1e300,
        9_223_372_036.9,
        float("inf"),
        float("nan"),
        None,
        [MORNING],
        {"time": MORNING},
    ],
)
def test_invalid_time_is_zero(value: Any) -> None:
    assert parse_time_ns(value) == 0


@given(st.integers(946_684_800 * S, (1 << 63) - 1))
def test_every_time_reads_back_from_its_digits(moment_ns: int) -> None:
    seconds, nanos = divmod(moment_ns, S)

    assert parse_time_ns(f"{seconds}.{nanos:09}") == moment_ns
    assert parse_time_ns(str(moment_ns)) == parse_time_ns(moment_ns) == moment_ns


@given(st.datetimes(min_value=datetime(2000, 1, 1)), st.sampled_from("Tt "))
def test_every_date_agrees_with_the_standard_library(moment: datetime, separator: str) -> None:
    whole = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    expected = whole // timedelta(microseconds=1) * 1_000

    assert parse_time_ns(moment.isoformat(separator)) == (expected if expected < 1 << 63 else 0)


@given(st.one_of(st.text(), st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,Z+-]{0,20}"), st.floats()))
def test_any_value_yields_a_time_that_otlp_can_express(value: Any) -> None:
    assert 0 <= parse_time_ns(value) < 1 << 63
