import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.json_scanner import Scan, Status, scan
from tests.support.properties import FAST
from tests.support.strategies import JSON

# Nested deeper than the pattern for flat values, in arrays and in objects.
DEEP = '{"a":[{"b":[{"c":[[1,-2.5e-3,"x"],{}]},[]]},true,[null,false]],"d\\"":"\\\\","e":{"f":{"g":{"h":""}}}}'


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", " [ ] ", '""', "[1]", '{"a":1}', '{"a":{"b":[]},"c":[{},{}]}', "[NaN,Infinity,-Infinity]", DEEP],
)
def test_the_end_of_a_complete_value_is_found(text: str) -> None:
    followed = text.rstrip() + " ,more"

    assert scan(followed.encode()) == (Status.COMPLETE, len(text.rstrip()))


@pytest.mark.parametrize("text", ["true,", "null]", "-0.5e+3 ", "10}", "NaN,", '"a" '])
def test_a_scalar_is_complete_once_something_follows(text: str) -> None:
    assert scan(text.encode()) == (Status.COMPLETE, len(text) - 1)


@pytest.mark.parametrize(
    "text", ["", " ", "1", "-", "1.", "1e", "1E+", "0.0", "tr", "true", "Na", "-Inf", '"a', '"\\', '"\\"', '"\\u00']
)
def test_a_scalar_at_the_end_is_incomplete(text: str) -> None:
    assert scan(text.encode()) == (Status.INCOMPLETE, len(text))


@pytest.mark.parametrize(
    "text",
    [
        "}", "]", ",", ":", "[,", "[1,]", "[1,,", "[1:", "{,", "{1", "{a", '{"a",', '{"a"}', '{"a":}', '{"a":1,}',
        '{"a":1,2', '{"a"1', "[}", "{]", "[1}", '{"a":1]', "[1 2", '["a""', '{"a":1:', "trux", "tru,", "x", "+1", "--",
        "1.2.3", "01,", "1.,", "-,", "-a", "[[1]1", "[{}{", '{"a":[]"', "\x00", "é", "[1}]", "infinity", "1e5e",
    ],
)  # fmt: skip
def test_text_that_no_bytes_could_complete_is_invalid(text: str) -> None:
    assert scan(text.encode()).status is Status.INVALID


@FAST
@given(JSON, st.data())
def test_every_prefix_of_a_value_is_incomplete(value: Any, data: st.DataObject) -> None:
    text = json.dumps([value], ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 1])))
    raw = text.encode("utf-8", "replace")

    cut = data.draw(st.integers(0, len(raw) - 1))

    assert scan(raw[:cut]) == (Status.INCOMPLETE, cut)
    assert scan(b"[[" + raw, 2) == (Status.COMPLETE, len(raw) + 2)


def test_every_prefix_of_a_deep_value_is_incomplete() -> None:
    raw = DEEP.encode()

    assert [scan(raw[:cut]) for cut in range(len(raw))] == [(Status.INCOMPLETE, cut) for cut in range(len(raw))]


@FAST
@given(st.binary() | st.text(alphabet='[]{}",:\\ 10.e-tNaI').map(str.encode))
def test_any_bytes_can_be_scanned(raw: bytes) -> None:
    found = scan(raw)

    assert isinstance(found, Scan)
    assert 0 <= found.end <= len(raw)
    if reads(raw):
        assert found.status is not Status.INVALID


def test_deep_nesting_takes_linear_time() -> None:
    assert scan(b"[" * 10_000 + b"]" * 10_000) == (Status.COMPLETE, 20_000)


def reads(raw: bytes) -> bool:
    try:
        json.loads(raw.decode())
    except (ValueError, RecursionError):
        return False
    return True
