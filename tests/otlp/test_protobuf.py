"""Bytes made by hand are those that opentelemetry-proto makes."""

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from telemetry_forwarder.otlp import common, protobuf
from tests.support.strategies import json_values

JSON = json_values(min_integer=-(2**63), max_integer=2**63 - 1)


@given(JSON)
def test_any_json_value_reads_back_as_the_message(value: Any) -> None:
    assert AnyValue.FromString(protobuf.any_value(value)) == common.any_value(value)


@given(st.text(), JSON)
def test_key_and_value_are_the_same_bytes_as_the_message(key: str, value: Any) -> None:
    expected = KeyValue(key=common.clean(key), value=common.any_value(value))

    assert KeyValue.FromString(protobuf.key_value(key, value)) == expected


LENGTHS = st.sampled_from([0, 1, 61, 62, 63, 64, 65, 66, 125, 126, 127, 128, 129, 20_000])


@given(JSON | LENGTHS.map("v".__mul__), st.text() | LENGTHS.map("k".__mul__))
def test_an_attribute_is_a_field_with_key_and_value_however_long(value: Any, key: str) -> None:
    attributes = protobuf.Attributes(b"\x32")

    for _ in range(2):  # The second time from the memo.
        assert attributes.fields({key: value}) == protobuf.field(b"\x32", protobuf.key_value(key, value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        ("lone \ud800", "lone \\ud800"),
        (b"bytes", "b'bytes'"),
    ],
)
def test_what_has_no_place_in_otlp_becomes_text(value: Any, text: str) -> None:
    assert AnyValue.FromString(protobuf.any_value(value)) == AnyValue(string_value=text)


def test_what_is_nested_too_deep_for_receivers_is_kept_as_json() -> None:
    deep: Any = "core"
    for _ in range(200):
        deep = [deep]

    # A receiver's protobuf would refuse the message, and with it all others in the request.
    read = AnyValue.FromString(protobuf.any_value(deep))

    for _ in range(protobuf.MAX_DEPTH):
        read = read.array_value.values[0]
    assert read.string_value == "[" * 176 + '"core"' + "]" * 176


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16_383, 16_384, 2**32, 2**64 - 1])
def test_varint_is_protobuf_s(number: int) -> None:
    assert AnyValue.FromString(b"\x18" + protobuf.varints[number]).int_value & (2**64 - 1) == number


def test_only_short_keys_are_remembered() -> None:
    attributes = protobuf.Attributes(b"\x32")

    attributes.fields({"k" * 64: 1, "k" * 65: 1})

    assert list(attributes) == ["k" * 64]


@pytest.mark.parametrize(("length", "is_kept"), [(64, True), (65, False)])
def test_nor_are_long_keys_within_remembered(length: int, is_kept: bool) -> None:
    key = "w" * length
    references = sys.getrefcount(key)

    protobuf.any_value({"outer": {key: 1}})

    assert (sys.getrefcount(key) > references) is is_kept
