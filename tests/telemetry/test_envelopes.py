import pytest

from telemetry_forwarder.telemetry.envelopes import (
    find_end_of_garbage,
    find_end_of_value,
    find_next_envelope,
    is_boundary,
    match_envelope,
    may_contain_cut_record,
    skip_separators,
    split_cut_record,
    strip_frame,
)
from tests.support.posts import MOMENT, raw_event, raw_post

ONE = raw_event(b'"a"')


@pytest.mark.parametrize("body", [ONE, b'{ "time" : "%s",\n"type": "function", "record": 5' % MOMENT.encode()])
def test_an_envelope_is_found_with_or_without_spaces(body: bytes) -> None:
    envelope = match_envelope(b"xx" + body, 2)

    assert envelope is not None
    assert envelope.groups() == (MOMENT.encode(), b"function")
    assert body[envelope.end() - 2 :].strip() in (b'"a"}', b"5")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"type":"function","record":', b"x" + ONE])
def test_text_without_an_envelope_does_not_match(body: bytes) -> None:
    assert match_envelope(body, 0) is None


@pytest.mark.parametrize("between", [b"", b",", b" , ", b"\n"])
def test_the_next_envelope_begins_after_the_separator(between: bytes) -> None:
    body = b'AA"}' + b"}" + between + ONE

    assert find_next_envelope(body, 0) == (4, 5 + len(between))
    assert find_next_envelope(body, 5) is None


def test_long_runs_of_spaces_take_linear_time() -> None:
    assert find_next_envelope(b"}" + b" " * 200_000 + b"}", 0) is None


def test_garbage_ends_where_an_envelope_begins() -> None:
    assert find_end_of_garbage(b"{xx" + ONE, 0) == 3
    assert find_end_of_garbage(b"{xx", 0) == 3


@pytest.mark.parametrize(
    ("value", "rest", "end"),
    [
        (b"12", ONE, 2),
        (b'"ab"', ONE, 4),
        (b'"a{"', b"b", 4),
        (b'"a{"', ONE[2:], 2),
        (b'"{ "', ONE[2:], 1),
        (b'"{"', b"", 3),
    ],
)
def test_value_ends_where_an_envelope_begins(value: bytes, rest: bytes, end: int) -> None:
    assert find_end_of_value(value + rest, 0, len(value)) == end


@pytest.mark.parametrize("rest", [b"", b"]", b" ]\n", b"," + ONE, b"\n" + ONE])
def test_an_event_ends_before_another_event_or_the_end(rest: bytes) -> None:
    assert is_boundary(b"12" + rest, 2)


@pytest.mark.parametrize("rest", [b"}", b',{"c":5}', b"]}", b'"', b"x"])
def test_other_text_after_an_event_is_no_boundary(rest: bytes) -> None:
    assert not is_boundary(b"12" + rest, 2)


def test_separators_are_skipped() -> None:
    assert skip_separators(b"x ,\n[] ,y", 1) == 8


@pytest.mark.parametrize("frame", [b"}]", b"} ]\n", b"}", b"}\n", b""])
def test_the_end_of_the_array_is_stripped(frame: bytes) -> None:
    assert strip_frame(b"AAA " + frame) == (b"AAA " if frame else b"AAA")


@pytest.mark.parametrize(
    "fragments",
    [
        [b'[{"a":1', b"2}]"],
        [b'{"x":[{"a":-1.', b'5e3,"b":""},{"c":4}]}'],
        [b'[{"a":1', b'2},{"b":3', b'4},{"c":[{"d":5', b"6}]}]"],
    ],
)
def test_an_envelope_within_a_record_reveals_a_cut(fragments: list[bytes]) -> None:
    event = b",".join(map(raw_event, fragments))

    assert may_contain_cut_record(raw_post(event), 1)
    assert split_cut_record(event) == fragments


@pytest.mark.parametrize(
    "event",
    [
        ONE,
        b'{"a":1}',
        raw_event(b'{"record":1}'),
        raw_event(b'[{"a":"1"},%s]' % ONE),
        raw_event(b'[{"a":1},%s]' % raw_event(b"2", "extension")),
        raw_event(b'["a",%s]' % raw_event(b"2")),
    ],
)
def test_similar_events_are_not_cut_records(event: bytes) -> None:
    assert split_cut_record(event) == []
