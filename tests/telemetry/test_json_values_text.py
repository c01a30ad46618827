import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.json_values import json_text
from tests.support.properties import FAST

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@FAST
@given(JSON)
def test_any_json_reads_back(value: Any) -> None:
    assert json.loads(json_text(value)) == value


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
def test_what_json_has_no_spelling_for_is_spelled(value: Any, text: str) -> None:
    assert json_text(value) == text


def test_what_is_nested_deeper_than_python_can_recurse_is_written() -> None:
    deep: Any = "core"
    for _ in range(1_000):
        deep = [1, {"é": deep, "b": []}, {}]

    assert json_text(deep) == '[1,{"é":' * 1_000 + '"core"' + ',"b":[]},{}]' * 1_000
