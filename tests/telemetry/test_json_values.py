import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.json_values import read_json, text_of
from tests.support.properties import FAST

# orjson reads a larger integer as the float nearest to it.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@FAST
@given(JSON)
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
def test_what_a_strict_parser_refuses_is_read_as_far_as_possible(text: bytes, value: Any) -> None:
    assert read_json(text) == value


def test_not_a_number_is_read() -> None:
    assert repr(read_json(b'{"a":NaN}')) == "{'a': nan}"


@FAST
@given(st.binary())
def test_any_bytes_are_read_and_become_text(raw: bytes) -> None:
    read_json(raw)

    assert text_of(raw).encode().decode() == text_of(raw)
