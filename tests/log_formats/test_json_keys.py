from typing import Any

import pytest

from telemetry_forwarder.log_formats.json_keys import FIELD_OF, KINDS, find_shape
from tests.support.lines import ID, ISO, SECOND_NS, SPAN_ID, TIME_NS, TRACE_ID

XRAY = "1-5759e988-bd862e3fe1be46a994272793"
LOGGER = ("timestamp", "Level", "message", "customer")


def test_shape_separates_known_keys_from_others() -> None:
    shape = find_shape(LOGGER)

    assert shape is not None
    assert [key for key, *_ in shape.fields] == ["timestamp", "Level", "message"]
    assert shape.others == (("customer", "customer"),)


def test_two_keys_of_one_kind_have_no_shape() -> None:
    assert find_shape(("level", "severity")) is None


@pytest.mark.parametrize("keys", [tuple(map(str, range(33))), ("x" * 513,)])
def test_unusual_keys_are_not_cached(keys: tuple[str, ...]) -> None:
    cached = find_shape.cache_info().currsize

    with pytest.raises(ValueError, match="too many keys, or too long ones"):
        find_shape(keys)

    assert find_shape.cache_info().currsize == cached


def test_every_kind_has_a_key_in_lower_case() -> None:
    assert {kind for _, kind, _ in FIELD_OF.values()} == set(range(KINDS))
    assert all(key == key.lower() for key in FIELD_OF)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("message", {"any": "JSON"}, {"any": "JSON"}),
        ("event", "text", "text"),
        ("event", {"a": 1}, None),
        ("level", "WARN", (13, "WARN")),
        ("level", "gold", None),
        ("level", 30, (9, "30")),
        ("level", True, None),
        ("level", 5, None),
        ("level", 400, (17, "400")),
        ("level", "\x1b[31merror\x1b[39m", (17, "error")),
        ("level", "[WARN ]", (13, "WARN")),
        ("level", {"name": "ERROR", "no": 40}, (17, "ERROR")),
        ("level", {"levelStr": "WARN", "level": 30000}, (13, "WARN")),
        ("level", {}, None),
        ("severity_number", 17, (17, "17")),
        ("severity_number", 25, None),
        ("levelno", 30, (13, "30")),
        ("levelno", 5, None),
        ("levelno", "30", None),
        ("time", ISO, TIME_NS),
        ("time", "noon", None),
        ("instant", {"epochSecond": SECOND_NS // 10**9, "nanoOfSecond": 5}, SECOND_NS + 5),
        ("instant", {"epochSecond": SECOND_NS // 10**9, "nanoOfSecond": 10**9}, None),
        ("instant", {"epochSecond": 5, "nanoOfSecond": 5}, None),
        ("instant", {"epochSecond": 5}, None),
        ("instant", ISO, None),
        ("record.time", {"repr": "now", "timestamp": SECOND_NS // 10**9}, SECOND_NS),
        ("requestid", ID, ID),
        ("requestid", "emulated", "emulated"),
        ("requestid", "no id", None),
        ("requestid", "x" * 65, None),
        ("requestid", 5, None),
        ("request_id", ID, ID),
        ("request_id", "order-5", None),
        ("trace_id", TRACE_ID, (TRACE_ID, "")),
        ("trace_id", XRAY, (TRACE_ID, "")),
        ("trace_id", f"Root={XRAY};Sampled=1", (TRACE_ID, "")),
        ("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01", (TRACE_ID, SPAN_ID)),
        ("logging.googleapis.com/trace", f"projects/orders/traces/{TRACE_ID}", (TRACE_ID, "")),
        ("dd.trace_id", 1 << 63, (f"{1 << 63:032x}", "")),
        ("dd.trace_id", str(1 << 127), (f"{1 << 127:032x}", "")),
        ("dd.trace_id", TRACE_ID, (TRACE_ID, "")),
        ("dd.trace_id", str(1 << 128), None),
        ("dd.trace_id", True, None),
        ("dd.span_id", "255", "00000000000000ff"),
        ("dd.span_id", 1 << 64, None),
        ("dd.span_id", "0", None),
        ("trace_id", "0", None),
        ("span_id", SPAN_ID, SPAN_ID),
        ("span_id", "0", None),
        ("errortype", "E", "E"),
        ("errormessage", 5, None),
        ("stack", ["a", "b"], "a\nb"),
        ("stack", "one line", None),
    ],
)
def test_a_value_is_read_as_its_key_promises(key: str, value: Any, expected: Any) -> None:
    _, _, read = FIELD_OF[key]

    assert read(value) == expected
