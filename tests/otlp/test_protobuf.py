"""The encoded bytes are those of opentelemetry-proto's messages."""

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from telemetry_forwarder.otlp import protobuf
from tests.support import otlp_messages as messages
from tests.support.strategies import json_values

JSON = json_values(min_integer=-(2**63), max_integer=2**63 - 1, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=()))


@given(JSON)
def test_any_json_value_is_the_same_as_the_message(value: Any) -> None:
    decoded = AnyValue.FromString(protobuf.encode_any_value(value))

    assert decoded == messages.any_value(value)
    assert repr(messages.plain(decoded)) == repr(value)


@given(TEXT, JSON | TEXT)
def test_key_and_value_are_the_same_as_the_message(key: str, value: Any) -> None:
    [expected] = messages.key_values({key: value})

    assert KeyValue.FromString(protobuf.encode_key_value(key, value)) == expected


LENGTHS = st.sampled_from([0, 1, 61, 62, 63, 64, 65, 66, 125, 126, 127, 128, 129, 20_000])


@given(JSON | LENGTHS.map("v".__mul__), st.text() | LENGTHS.map("k".__mul__))
def test_an_attribute_is_a_field_with_key_and_value_of_any_length(value: Any, key: str) -> None:
    attributes = protobuf.AttributesEncoder(b"\x32")
    expected = protobuf.field(b"\x32", protobuf.encode_key_value(key, value))

    for _ in range(2):  # The second time from the cache.
        assert attributes.encode({key: value}) == expected


@pytest.mark.parametrize("attributes", [None, {}])
def test_no_attributes_are_no_bytes(attributes: dict[str, Any] | None) -> None:
    assert protobuf.AttributesEncoder(b"\x32").encode(attributes) == b""


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
def test_a_value_without_a_type_in_otlp_becomes_text(value: Any, text: str) -> None:
    assert AnyValue.FromString(protobuf.encode_any_value(value)) == AnyValue(string_value=text)


@pytest.mark.parametrize("depth", [25, 100, 1_000])
def test_deeper_nesting_than_receivers_accept_is_kept_as_json(depth: int) -> None:
    deep: Any = "core"
    for _ in range(depth):
        deep = [deep]

    # A receiver's protobuf would refuse the message, and with it all others in the request.
    read = AnyValue.FromString(protobuf.encode_any_value(deep))

    for _ in range(protobuf.MAX_DEPTH):
        read = read.array_value.values[0]
    levels = depth - protobuf.MAX_DEPTH
    assert read.string_value == "[" * levels + '"core"' + "]" * levels


def test_deep_objects_are_kept_as_json_with_values_that_json_lacks() -> None:
    deep: Any = [math.nan, 2**70, "\ud800"]
    for _ in range(protobuf.MAX_DEPTH + 1):
        deep = {"a": deep}

    read = messages.plain(AnyValue.FromString(protobuf.encode_any_value(deep)))

    for _ in range(protobuf.MAX_DEPTH):
        read = read["a"]
    assert read == f'{{"a":[NaN,{2**70},"\\ud800"]}}'


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16_383, 16_384, 2**32, 2**64 - 1])
def test_varint_is_decoded_to_the_same_number(number: int) -> None:
    decoded = AnyValue.FromString(b"\x18" + protobuf.encode_varint(number))

    assert decoded.int_value & (2**64 - 1) == number


@given(TEXT)
def test_any_text_becomes_valid_utf8_and_valid_text_stays(text: str) -> None:
    valid = messages.valid(text)

    assert protobuf.escape_surrogates(text) == valid
    assert protobuf.encode_text(text) == valid.encode()
    assert protobuf.text_field(b"\x0a", text) == AnyValue(string_value=valid).SerializeToString() * bool(text)


def test_only_short_keys_are_cached() -> None:
    attributes = protobuf.AttributesEncoder(b"\x32")

    attributes.encode({"k" * 64: 1, "k" * 65: 1})

    assert list(attributes) == ["k" * 64]


def test_a_full_cache_of_keys_starts_over() -> None:
    attributes = protobuf.AttributesEncoder(b"\x32")

    for number in range(1_000):
        attributes.encode({str(number): 1})
        assert len(attributes) <= 256


@pytest.mark.parametrize(("length", "is_cached"), [(64, True), (65, False)])
def test_only_short_keys_of_nested_objects_are_cached(length: int, is_cached: bool) -> None:
    key = "w" * length
    references = sys.getrefcount(key)

    protobuf.encode_any_value({"outer": {key: 1}})

    assert (sys.getrefcount(key) > references) is is_cached
