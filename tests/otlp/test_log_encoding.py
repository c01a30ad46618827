"""Encoded log records are those of opentelemetry-proto."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs

from telemetry_forwarder.otlp.log_encoding import (
    CommonFields,
    ScopeRecords,
    encode_common,
    encode_observed_time,
    record_attributes,
)
from tests.support.otlp_messages import key_values, valid
from tests.support.posts import MOMENT_NS, MS, OBSERVED_NS
from tests.support.strategies import JSON

TEXT = st.text(st.characters(exclude_categories=()))
TRACE_ID, SPAN_ID = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
COMMON = encode_common(CommonFields(9, "INFO"))


def add(records: ScopeRecords, time_ns: int, body: Any = "x", **attributes: Any) -> None:
    records.add(
        time_ns,
        observed=encode_observed_time(OBSERVED_NS),
        common=COMMON,
        body=body,
        attributes=record_attributes.encode(attributes),
    )


def decode(records: ScopeRecords) -> list[LogRecord]:
    return list(ScopeLogs.FromString(b"".join(records.take())).log_records)


def times(records: ScopeRecords) -> list[int]:
    return [record.time_unix_nano for record in decode(records)]


@given(st.sampled_from([0, MOMENT_NS]), TEXT, st.dictionaries(TEXT, JSON, max_size=3))
def test_any_text_is_the_body_of_a_record(time_ns: int, body: str, attributes: dict[str, Any]) -> None:
    records = ScopeRecords()

    records.add(
        time_ns,
        observed=encode_observed_time(OBSERVED_NS),
        common=COMMON,
        body=body,
        attributes=record_attributes.encode(attributes),
    )

    [found] = decode(records)
    assert found == LogRecord(
        time_unix_nano=time_ns,
        observed_time_unix_nano=OBSERVED_NS,
        severity_number=9,  # type: ignore[arg-type]  # the stub expects a member of the enum
        severity_text="INFO",
        body=AnyValue(string_value=valid(body)),
        attributes=key_values(attributes),
    )


def test_a_body_that_is_not_text_keeps_its_type() -> None:
    records = ScopeRecords()

    add(records, MOMENT_NS, 5)

    assert decode(records)[0].body == AnyValue(int_value=5)


@given(
    st.builds(
        CommonFields,
        st.integers(0, 24),
        TEXT,
        st.sampled_from(["", TRACE_ID]),
        st.sampled_from(["", SPAN_ID]),
        TEXT,
        TEXT,
        TEXT,
        st.sampled_from(["", "order-7/1f0c6d1e"]),
    )
)
def test_common_fields_are_the_bytes_of_the_message(common: CommonFields) -> None:
    name, _, execution_id = common.execution.partition("/")
    pairs = {"faas.invocation_id": common.request_id, "lambda.tenant_id": common.tenant_id}
    pairs |= {"lambda.durable.execution_name": name, "lambda.durable.execution_id": execution_id}
    expected = LogRecord(
        severity_number=common.severity_number,  # type: ignore[arg-type]  # the stub expects a member of the enum
        severity_text=valid(common.severity_text),
        attributes=key_values({key: value for key, value in pairs.items() if value}),
        trace_id=bytes.fromhex(common.trace_id),
        span_id=bytes.fromhex(common.span_id),
        event_name=valid(common.event_name),
    )

    assert encode_common(common) == expected.SerializeToString()
    plain = (common[0], common[1], common[2], common[3], common[4], common[5], common[6], common[7])
    assert encode_common(plain) == expected.SerializeToString()


def test_records_are_taken_once() -> None:
    records = ScopeRecords()
    add(records, MOMENT_NS)
    add(records, MOMENT_NS)
    assert len(records) == 2

    assert len(records.take()) == 2
    assert (len(records), records.take()) == (0, [])


def test_records_of_one_millisecond_keep_their_order() -> None:
    records = ScopeRecords()
    for ms in (0, 0, 1, 0, 1, 2):
        add(records, MOMENT_NS + ms * MS)

    assert [time_ns - MOMENT_NS for time_ns in times(records)] == [0, 1, MS, 2, MS + 1, 2 * MS]


def test_order_continues_after_records_are_taken() -> None:
    records = ScopeRecords()
    add(records, MOMENT_NS)
    records.take()

    add(records, MOMENT_NS)

    assert times(records) == [MOMENT_NS + 1]


def test_records_of_one_millisecond_never_reach_the_next() -> None:
    records = ScopeRecords()
    observed = encode_observed_time(OBSERVED_NS)
    for _ in range(1_000_002):
        records.add(MOMENT_NS, observed=observed, common=b"", body="", attributes=b"")

    last = ScopeLogs.FromString(b"".join(records.take()[-3:])).log_records

    assert [record.time_unix_nano - MOMENT_NS for record in last] == [999_999, 999_999, 999_999]


@pytest.mark.parametrize(("count", "index"), [(1_024, 1), (1_025, 0)])
def test_only_recent_milliseconds_are_remembered(count: int, index: int) -> None:
    records = ScopeRecords()
    for ms in range(count):
        add(records, MOMENT_NS + ms * MS)
    records.take()

    add(records, MOMENT_NS)

    assert times(records) == [MOMENT_NS + index]
