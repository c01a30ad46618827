import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.json_values import (
    decode_text,
    is_json,
    may_have_lost_digits,
    read_json,
    read_json_object,
    write_json,
)
from tests.support.properties import FAST
from tests.support.strategies import JSON, json_values

# orjson reads a larger integer as the nearest float.
READABLE_JSON = json_values(min_integer=-(2**63), max_integer=2**64 - 1)


@FAST
@given(READABLE_JSON)
def test_strict_json_is_read(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[Infinity,-Infinity]", [math.inf, -math.inf]),
        (b"[1e999,-1e999,1.5]", ["1e999", "-1e999", 1.5]),
        (b'["\\ud800","\\ude00\\ud83d"]', ["\ud800", "\ude00\ud83d"]),
        (b'"a\tb\nc\x00"', "a\tb\nc\x00"),
        (b'{"a":"\xff \xc3\xa9 \\n"}', {"a": "\\xff é \n"}),
        (b'  {"a":NaN0}', '  {"a":NaN0}'),
        (b' [1e999] {"and":"more"}', ["1e999"]),
        (b"[" * 5_000, "[" * 5_000),
        (b"[1e999," + b"1" * 5_000 + b"]", ["1e999", "1" * 5_000]),
        (b"", ""),
        (b"\xff", "\\xff"),
    ],
)
def test_invalid_json_is_read_as_far_as_possible(text: bytes, value: Any) -> None:
    assert read_json(text) == value


def test_not_a_number_is_read() -> None:
    assert repr(read_json(b'{"a":NaN}')) == "{'a': nan}"


@FAST
@given(st.binary())
def test_any_bytes_can_be_read_and_decoded(raw: bytes) -> None:
    read_json(raw)

    assert decode_text(raw).encode().decode() == decode_text(raw)


@FAST
@given(JSON)
def test_written_json_reads_back(value: Any) -> None:
    assert json.loads(write_json(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "NaN"),
        ([math.inf, -math.inf], "[Infinity,-Infinity]"),
        (2**80, "1208925819614629174706176"),
        ("é\ud800", '"é\ud800"'),
        (b"bytes", "\"b'bytes'\""),
    ],
)
def test_values_beyond_json_are_written(value: Any, text: str) -> None:
    assert write_json(value) == text


def test_values_nested_deeper_than_python_recurses_are_written() -> None:
    deep: Any = "core"
    for _ in range(1_000):
        deep = [1, {"é": deep, "b": []}, {}]

    assert write_json(deep) == '[1,{"é":' * 1_000 + '"core"' + ',"b":[]},{}]' * 1_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \r\n{"a": 1}\t', {"a": 1}),
        ('{"a": 12345678901234567890123}', {"a": 12345678901234567890123}),
        ('{"a": -9223372036854775809}', {"a": -9223372036854775809}),
        (
            '{"a": "12345678901234567890123", "b": 9223372036854775807}',
            {"a": "12345678901234567890123", "b": 2**63 - 1},
        ),
        ('{"a": "cut \\ud83d"}', {"a": "cut \ud83d"}),
        ('{"a": "\ud83d"}', {"a": "\ud83d"}),
        ('{"a": "one\ttwo"}', {"a": "one\ttwo"}),
        ('{"a": Infinity}', {"a": float("inf")}),
        ('{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
        (f'{{"a": [{"{}," * 1_100}1], "b": Infinity}}', {"a": [*[{}] * 1_100, 1], "b": float("inf")}),
        ("[1]", None),
        ("", None),
        ("{}x}", None),
        ("{a}", None),
        ("{} {}", None),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, None),
        ("{" + ",".join(f'"a{number}":1' for number in range(10_000)) + "}", None),
    ],
)
def test_an_object_in_text_is_read_tolerantly_and_completely(text: str, value: Any) -> None:
    assert read_json_object(text) == value


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("18446744073709551615", False),
        ("18446744073709551616", True),
        ("-9223372036854775808", False),
        ("-9223372036854775809", True),
        ("1.5", False),
        ('"18446744073709551616"', False),
        ('[1, "a", null, {"b": [true, 0.5], "c": [18446744073709551616]}]', True),
        ('[1, "a", null, {"b": [true, 0.5], "c": [18446744073709551615]}]', False),
        ("[" * 1_000 + "18446744073709551616" + "]" * 1_000, True),
    ],
)
def test_floats_that_may_have_been_integers_are_found(text: str, is_found: bool) -> None:
    assert may_have_lost_digits(orjson.loads(text)) is is_found


def test_a_deep_object_with_a_large_integer_is_read() -> None:
    assert read_json_object('{"a":' * 1_000 + "12345678901234567890123" + "}" * 1_000) is not None


@pytest.mark.parametrize(
    ("text", "is_valid"), [(b'[{"a": 1}]', True), (b"[NaN]", False), (b"[x]", False), (b"", False)]
)
def test_json_by_the_standard(text: bytes, is_valid: bool) -> None:  # from the table
    assert is_json(text) is is_valid
