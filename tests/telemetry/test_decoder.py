"""Every byte that Lambda posts is decoded: read, joined, or kept as text."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.decoder import Decoder, load_exactly
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import Event, LogLine, Malformed, Record
from tests.support.posts import MOMENT, MOMENT_NS, MS, OBSERVED_NS, event, post, raw_event, raw_post
from tests.support.properties import FAST
from tests.support.strategies import JSON, STRICT_JSON, json_values

DONE = event("platform.runtimeDone", {"requestId": "abc", "status": "success"})
DONE_RAW = orjson.dumps(DONE)

# What makes cuts difficult: numbers and values in objects in lists, escapes, brackets and envelopes within strings.
OBJECT = {
    "xs": [{"a": 1.5, "b": 'café é " 12'}, {"a": -12e3}, [{"n": 123}, {"m": [True, None, False]}]],
    "s": '}],{"time":"' + MOMENT + '","type":"function","record":{"a":1}},',
}
STRING = '[INFO]\t12 }],{ é\n{"x": "34,5\\"}"}, "y"'


def line(record: Any, origin: str = "function", time_ns: int = MOMENT_NS, **extra: Any) -> LogLine:
    return LogLine(origin, record=record, time_ns=time_ns, observed_ns=OBSERVED_NS, extra=extra or None)


def platform_event(type_: str, record: Any, time_ns: int = MOMENT_NS, **extra: Any) -> Event:
    return read_event(type_, record, time_ns=time_ns, observed_ns=OBSERVED_NS, extra=extra or None)


def malformed(text: str) -> Malformed:
    return Malformed(OBSERVED_NS, text)


DONE_RECORD = platform_event("platform.runtimeDone", DONE["record"])


def decoded(*bodies: bytes, decoder: Decoder | None = None) -> list[Record]:
    """Return all records, a fragment at the very end included."""
    decoder = decoder or Decoder()
    records = [record for body in bodies for record in decoder.decode(body, OBSERVED_NS)]
    return records + decoder.release()


def test_events_are_decoded_in_order() -> None:
    body = post(
        event("platform.start", {"requestId": "a"}),
        event("function", "text\n"),
        event("function", {"level": "INFO"}),
        event("extension", ["any", "JSON"]),
        event("platform.unheardOf", {"a": 1}),
    )

    assert decoded(body) == [
        platform_event("platform.start", {"requestId": "a"}),
        line("text\n"),
        line({"level": "INFO"}),
        line(["any", "JSON"], "extension"),
        platform_event("platform.unheardOf", {"a": 1}),
    ]


@pytest.mark.parametrize("record", [None, True, 5, 0.5, "", "text", [], {}, {"time": 1, "type": 2, "record": 3}])
def test_a_record_can_be_any_json(record: Any) -> None:
    assert decoded(post(event("function", record))) == [line(record)]


@pytest.mark.parametrize(
    ("invalid", "record"),
    [
        (5, malformed("5")),
        (None, malformed("null")),
        ("text", malformed('"text"')),
        ([{"type": "function"}], malformed('[{"type":"function"}]')),
        ({}, platform_event("", {}, 0)),
        ({"time": MOMENT, "record": "x"}, platform_event("", {"time": MOMENT, "record": "x"})),
        ({"time": MOMENT, "type": 5}, platform_event("", {"time": MOMENT, "type": 5})),
        ({"type": [], "record": {}}, platform_event("", {"type": [], "record": {}}, 0)),
        ({"type": "", "time": "", "record": {}}, platform_event("", {"type": "", "time": "", "record": {}}, 0)),
        ({"type": "function"}, line(None, time_ns=0)),
        ({"type": "function", "record": "x", "time": "noon"}, line("x", time_ns=0, time="noon")),
        ({"type": "function", "record": "x", "time": None}, line("x", time_ns=0)),
        ({"type": "extension", "record": 1, "time": MOMENT, "tenant": "t"}, line(1, "extension", tenant="t")),
        (
            {"type": "platform.start", "record": "text", "time": "noon", "more": [1]},
            platform_event("platform.start", "text", 0, more=[1], time="noon"),
        ),
        ({"type": "platform.report"}, platform_event("platform.report", None, 0)),
    ],
)
def test_an_invalid_event_loses_nothing_and_affects_no_other(invalid: Any, record: Record) -> None:
    assert decoded(post(DONE, invalid, event("function", "y"))) == [DONE_RECORD, record, line("y")]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"", b",\n"])
def test_events_separated_by_lines_are_decoded(separator: bytes) -> None:
    body = separator.join([raw_event(b'"one\\n"'), DONE_RAW, raw_event(b'{"a":[1]}'), b""])

    assert decoded(body) == [line("one\n"), DONE_RECORD, line({"a": [1]})]


def test_a_single_event_without_an_array_is_decoded() -> None:
    assert decoded(DONE_RAW) == [DONE_RECORD]


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"[", b"[]\n[]", b"[,]"])
def test_an_empty_post_has_no_records(body: bytes) -> None:
    assert decoded(body) == []


@pytest.mark.parametrize(
    ("raw", "record"),
    [
        (b'{"a":1e999,"b":-Infinity}', {"a": "1e999", "b": -math.inf}),
        (b'{"\\ud800":"\\udfff"}', {"\ud800": "\udfff"}),
        (b'"a\tb\x00"', "a\tb\x00"),
        (b'"caf\xe9 \xff"', "caf\\xe9 \\xff"),
        (b"[" * 200_000 + b"]" * 200_000, "[" * 200_000 + "]" * 200_000),
        (b"1" * 5_000, "1" * 5_000),
        (b'{"a":tru}', '{"a":tru}'),
        (b"", ""),
        (b"\xc3\xa9", "é"),
    ],
)
def test_invalid_json_in_one_record_affects_no_other(raw: bytes, record: Any) -> None:
    found = decoded(raw_post(DONE_RAW, raw_event(raw), DONE_RAW, raw_event(b'"y"')))

    if isinstance(found[1], Malformed):
        # Nested so deeply that not even the envelope can be parsed.
        found[1] = line(found[1].text.removeprefix(raw_event(b"")[:-1].decode()).removesuffix("}"))
    assert found == [DONE_RECORD, line(record), DONE_RECORD, line("y")]


def test_not_a_number_is_read() -> None:
    (found,) = decoded(raw_post(raw_event(b'{"a":[NaN]}')))

    assert isinstance(found, LogLine)
    assert repr(found.record) == "{'a': [nan]}"


def test_deeply_nested_json_is_kept_as_text() -> None:
    deep = b"[" * 1_000 + b"]" * 1_000

    assert decoded(b"[" + deep + b"]") == [malformed(deep.decode())]


@pytest.mark.parametrize("junk", [b"junk", b'{"time":"x"', b"}", b'{"record":[1,2', b'"', b"\xff\xfe"])
def test_garbage_is_kept_as_text_in_its_place(junk: bytes) -> None:
    body = raw_post(raw_event(b'"x"'), junk, raw_event(b'"y"'))

    found = decoded(body)

    assert found[-1] == line("y")
    assert junk.decode("utf-8", "backslashreplace") in all_text(found)


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b'{"requestId":"a","tracing":}', {"requestId": "a", "tracing": None}),
        (b'{"tracing":,"requestId":"a"}', {"requestId": "a", "tracing": None}),
        (b'{"requestId":"a"}}', {"requestId": "a"}),
        (b'{"requestId":x', '{"requestId":x'),
    ],
)
def test_known_defects_of_platform_events_are_repaired(raw: bytes, fields: Any) -> None:
    body = raw_post(raw_event(raw, "platform.report"), raw_event(b'"y"'))

    assert decoded(body) == [platform_event("platform.report", fields), line("y")]


def framed(*fragments: bytes) -> list[bytes]:
    return [raw_event(fragment) for fragment in fragments]


LONG_RECORDS = [
    pytest.param(json.dumps(OBJECT, separators=(",", ":")).encode(), id="object"),
    pytest.param(json.dumps(OBJECT, ensure_ascii=False).encode(), id="object with spaces, unescaped"),
    pytest.param(json.dumps(STRING).encode(), id="string"),
    pytest.param(json.dumps(STRING, ensure_ascii=False).encode(), id="string, unescaped"),
    pytest.param(json.dumps(json.dumps(OBJECT)).encode(), id="JSON in a string"),
    pytest.param(b'[{"a":12},{"b":[34]},["",5.25e-3]]', id="list"),
]


@pytest.mark.parametrize("raw", LONG_RECORDS)
def test_a_record_cut_at_any_byte_is_joined(raw: bytes) -> None:
    expected = line(orjson.loads(raw))
    for at in range(1, len(raw)):
        head, tail = framed(raw[:at], raw[at:])

        assert decoded(raw_post(DONE_RAW, head, tail, DONE_RAW)) == [DONE_RECORD, expected, DONE_RECORD], at
        assert decoded(raw_post(head, tail)) == [expected], at
        assert decoded(raw_post(DONE_RAW, head), raw_post(tail, DONE_RAW)) == [DONE_RECORD, expected, DONE_RECORD]
        assert decoded(raw_post(head), raw_post(tail)) == [expected], at
        assert decoded(b"\n".join([head, tail, DONE_RAW])) == [expected, DONE_RECORD], at


@pytest.mark.parametrize("raw", LONG_RECORDS)
def test_a_record_cut_at_any_two_bytes_is_joined(raw: bytes) -> None:
    """Unless the middle fragment is a string or an object itself: then it could be another record."""
    expected = line(orjson.loads(raw))
    for first in range(1, len(raw), 5):
        for second in range(first + 1, len(raw), 7):
            fragments = framed(raw[:first], raw[first:second], raw[second:])
            if raw[first:second].lstrip()[:1] in (b'"', b"{") and is_json(raw[first:second]):
                continue

            assert decoded(raw_post(*fragments)) == [expected], (first, second)
            assert decoded(*map(raw_post, fragments)) == [expected], (first, second)


def test_two_long_records_after_each_other_are_kept_apart() -> None:
    raw = json.dumps(OBJECT).encode()
    fragments = framed(raw[:30], raw[30:], raw[:60], raw[60:])

    assert decoded(raw_post(*fragments[:3]), raw_post(fragments[3], DONE_RAW)) == [
        line(OBJECT),
        line(OBJECT),
        DONE_RECORD,
    ]


def test_complete_records_can_arrive_between_fragments() -> None:
    head, tail = framed(b'{"m":"AA', b'BB"}')

    found = decoded(raw_post(head), post(event("function", "between"), DONE), raw_post(tail))

    assert found == [line("between"), DONE_RECORD, line({"m": "AABB"})]


def test_a_first_fragment_whose_rest_never_arrives_is_kept_as_text() -> None:
    decoder = Decoder()
    records = decoder.decode(raw_post(DONE_RAW, raw_event(b'{"m":"A\\n')), OBSERVED_NS)

    assert (records, decoder.incomplete_count) == ([DONE_RECORD], 1)
    assert decoder.release(observed_before_ns=OBSERVED_NS) == []
    assert decoder.release(observed_before_ns=OBSERVED_NS + 1) == [line('{"m":"A\\n')]
    assert decoder.incomplete_count == 0


def test_a_last_fragment_without_a_first_is_kept_as_text() -> None:
    assert decoded(raw_post(raw_event(b'BB"}}'), DONE_RAW)) == [line('BB"}}'), DONE_RECORD]


def test_a_first_fragment_that_is_resent_is_joined_once() -> None:
    head, tail = framed(b'{"xs":[1,', b"2]}")

    assert decoded(raw_post(DONE_RAW, head), raw_post(DONE_RAW, head), raw_post(tail)) == [
        DONE_RECORD,
        DONE_RECORD,
        line({"xs": [1, 2]}),
    ]


def test_a_last_fragment_that_is_resent_is_kept_as_text() -> None:
    head, tail = framed(b'{"m":"AA', b'BB"}')

    assert decoded(raw_post(head), raw_post(tail), raw_post(tail)) == [line({"m": "AABB"}), line('BB"}')]


def test_a_resent_post_is_decoded_again() -> None:
    body = post(DONE, event("function", "x"))

    assert decoded(body, body) == [DONE_RECORD, line("x"), DONE_RECORD, line("x")]


def test_equal_fragments_of_one_record_are_joined() -> None:
    """They must not be mistaken for resent ones."""
    fragment = b"A" * 262_000

    found = decoded(*[raw_post(one) for one in framed(b'"' + fragment, fragment, fragment, fragment + b'"')])

    assert found == [line("A" * 4 * 262_000)]


@FAST
@given(st.lists(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\timeypcord 1').map(str.encode), max_size=4))
def test_any_bytes_are_decoded_without_losing_a_character(bodies: list[bytes]) -> None:
    records = decoded(*bodies)

    assert all(isinstance(record, Event | LogLine | Malformed) for record in records)
    kept = all_text(records)
    for body in bodies:
        if not is_json(body):
            assert set(body.decode("utf-8", "backslashreplace")) - set('[], \n\r\t"') <= set(kept)


@FAST
@given(st.lists(STRICT_JSON, max_size=5) | st.lists(st.dictionaries(st.text(), JSON), max_size=5))
def test_a_post_of_any_json_yields_one_record_for_each_item(items: list[Any]) -> None:
    assert len(decoded(json.dumps(items).encode())) == len(items)


@FAST
@given(st.data())
def test_a_damaged_event_does_not_affect_its_neighbours(data: st.DataObject) -> None:
    middle = raw_event(json.dumps(OBJECT).encode())
    start = data.draw(st.integers(0, len(middle)))
    end = data.draw(st.integers(start, len(middle)))
    mutated = middle[:start] + data.draw(st.binary(max_size=5)) + middle[end:]

    records = decoded(raw_post(raw_event(b'"x"'), mutated, DONE_RAW))

    assert "x" in all_text(records)
    assert "abc" in all_text(records)


def is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def all_text(records: list[Record]) -> str:
    """Return the content of *records* as one text."""
    parts = []
    for record in records:
        match record:
            case LogLine():
                parts.append(json.dumps([record.origin, record.record, record.extra], ensure_ascii=False))
                parts.append(record.record if isinstance(record.record, str) else MOMENT)
            case Malformed():
                parts.append(record.text)
            case Event():
                parts.append(json.dumps([record.type, record.fields, record.extra], ensure_ascii=False))
    return "\n".join(parts)


@pytest.mark.parametrize("value", [b'""', b"1 ", b"true ", b'"{" ', b"{}", b"[1,", b'{"type":"function"}'])
@pytest.mark.parametrize("is_list", [False, True])
def test_small_values_become_no_more_records_than_events_could_be(value: bytes, is_list: bool) -> None:
    """They took minutes per megabyte, and more memory than Lambda gives."""
    count = 500_000 // len(value)
    body = b"[" + b",".join([value.strip(b" ,[")] * count) + b"]" if is_list else value * count

    records = decoded(body + DONE_RAW)

    assert records[-1] == DONE_RECORD
    assert len(records) <= 1_000 + (len(body) + len(DONE_RAW)) // 64 + 1
    texts = [record.text if isinstance(record, Malformed) else "" for record in records]
    assert value.strip(b" ,[").decode() in texts[-2]


def test_times_are_nanoseconds() -> None:
    (found,) = decoded(post(event("function", "x", "2026-09-22T06:30:00.124Z")))

    assert found == line("x", time_ns=MOMENT_NS + MS)


LONG = [*[event("function", f"line {number} " + "x" * 100) for number in range(2_000)], DONE]
NESTED = {"xs": [{"a": 1}, {"time": MOMENT, "type": "function", "record": {"b": 2}}] * 2_000}


def slices_of(body: bytes) -> list[list[Record]]:
    decoder, slices, at = Decoder(), [], 0
    while at < len(body):
        records, at = decoder.decode_slice(body, OBSERVED_NS, at)
        slices.append(records)
    return slices


@pytest.mark.parametrize(
    ("body", "least"),
    [
        (post(*LONG), 4),
        (b"\n".join(map(orjson.dumps, LONG)), 15),
        (post(*LONG)[:-1] + b",nonsense", 4),
        (post(*LONG[:1_000])[:-1] + b',{"time":nonsense,' + post(*LONG[1_000:])[1:], 4),
        (post(event("function", NESTED), *LONG), 4),
        (raw_post(*[raw_event(part) for part in (b'"x', b"y" * 100_000, b'z"')], *map(orjson.dumps, LONG)), 4),
        (b"[" + b" " * 100_000 + post(*LONG)[1:], 4),
    ],
    ids=["array", "lines", "ends in garbage", "garbage within", "nested events", "cut record", "spaces"],
)
def test_slices_of_a_large_post_are_the_same_records(body: bytes, least: int) -> None:
    slices = slices_of(body)

    assert len(slices) >= least
    assert [record for part in slices for record in part] == Decoder().decode(body, OBSERVED_NS)


def test_large_post_of_one_event_is_one_slice() -> None:
    assert [len(part) for part in slices_of(post(event("function", "x" * 1_000_000)))] == [1]


# A record that is a number itself may become a float.
_RECORDS = json_values(min_integer=-(2**63), max_integer=2**64 - 1, allow_infinity=False)


@FAST
@given(st.lists(_RECORDS, max_size=5), st.integers(1, 3))
def test_slices_lose_nothing_whatever_the_records_are(records: list[Any], times: int) -> None:
    events = [event("function", record) for record in records] * times + LONG[:700]

    slices = slices_of(post(*events))

    assert [record for part in slices for record in part] == [line(each["record"]) for each in events]


@pytest.mark.parametrize("value", [b"1", b'""', b"{}", b"[]"])
def test_post_of_many_small_values_has_a_bounded_number_of_records(value: bytes) -> None:
    body = b"[" + b",".join([value] * 200_000) + b"]"

    records = Decoder().decode(body, OBSERVED_NS)

    assert len(records) <= 1_001 + len(body) // 64


FIRST, SECOND = event("function", "first\n"), event("function", 'a "second" one')


@pytest.mark.parametrize(
    "body", [post(FIRST, SECOND), post(FIRST, SECOND) + b"\n", b"\n".join(map(orjson.dumps, (FIRST, SECOND)))]
)
def test_events_are_peeked_one_by_one(body: bytes) -> None:
    decoder = Decoder()

    first, second_at = decoder.peek(body, 0) or (None, 0)
    second, end = decoder.peek(body, second_at) or (None, 0)

    assert (first, second) == (FIRST, SECOND)
    assert decoder.peek(body, end) is None
    assert Decoder().decode_slice(body, OBSERVED_NS, second_at) == ([line(SECOND["record"])], len(body))


@pytest.mark.parametrize(
    "raw", [b'"a', b'[1},{"time":"x"]', b'[{"a":1},{"time":"x","type":"function","record":2}]', b'"\xff"']
)
def test_what_is_no_whole_event_is_not_peeked(raw: bytes) -> None:
    assert Decoder().peek(raw_post(raw_event(raw)), 0) is None


def test_nothing_is_peeked_while_a_cut_record_waits() -> None:
    decoder = Decoder()
    decoder.decode(raw_post(raw_event(b'"cut')), OBSERVED_NS)

    assert decoder.peek(post(FIRST), 0) is None


@pytest.mark.parametrize("raw", [b'{"id":18446744073709551617}', b'{"a":[{"id":-9223372036854775809}]}'])
def test_integers_beyond_64_bits_keep_their_digits(raw: bytes) -> None:
    body = raw_post(*[raw_event(b'{"id":0.5}')] * 2_000, raw_event(raw), raw_event(b'{"id":1e300}'))

    records = [record for each in slices_of(body) for record in each]

    assert records == [*[line({"id": 0.5})] * 2_000, line(json.loads(raw)), line({"id": 1e300})]


def test_an_event_alone_is_read_exactly() -> None:
    assert load_exactly(raw_event(b'{"id":18446744073709551616}')) == [event("function", {"id": 2**64})]
