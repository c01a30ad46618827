from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.reassembly import Fragment, Reassembler
from tests.support.properties import FAST


def fragment(raw: bytes, type_: str = "function", *, at: int = 1, is_complete: bool = False) -> Fragment:
    return Fragment(type=type_, time=f"time {at}", raw=raw, observed_ns=at, is_complete=is_complete)


def added(reassembler: Reassembler, fragments: Iterable[Fragment]) -> list[list[Fragment]]:
    return [reassembler.add(one) for one in fragments]


def test_fragments_are_joined_in_the_envelope_of_the_first() -> None:
    reassembler = Reassembler()

    results = added(reassembler, [fragment(b'{"m":"AA'), fragment(b"BB", at=2), fragment(b'CC"}', at=3)])

    assert results == [[], [], [fragment(b'{"m":"AABBCC"}', is_complete=True)]]
    assert reassembler.count == 0


@pytest.mark.parametrize("raw", [b'{"a":1}', b'"a"', b"[1,2]", b'{"a":1}}', b'{"a":1} }\n'])
def test_a_complete_record_passes_even_with_surplus_closing_brackets(raw: bytes) -> None:
    assert Reassembler().add(fragment(raw)) == [fragment(raw, is_complete=True)]


@pytest.mark.parametrize("raw", [b'BB"}', b'{"a":1}]', b'{"a":1}{', b'"a""b"', b"}", b"x"])
def test_bytes_that_begin_no_json_remain_a_fragment(raw: bytes) -> None:
    assert Reassembler().add(fragment(raw)) == [fragment(raw)]


def test_a_fragment_that_cannot_continue_the_held_one_replaces_it() -> None:
    reassembler = Reassembler()

    results = added(reassembler, [fragment(b'{"m":"AA'), fragment(b'{"m":"BB', at=2), fragment(b'"}', at=3)])

    assert results == [[], [fragment(b'{"m":"AA')], [fragment(b'{"m":"BB"}', at=2, is_complete=True)]]


def test_types_are_joined_separately() -> None:
    reassembler = Reassembler()

    results = added(
        reassembler, [fragment(b'"A'), fragment(b'"B', "extension"), fragment(b'a"'), fragment(b'b"', "extension")]
    )

    assert results == [
        [],
        [],
        [fragment(b'"Aa"', is_complete=True)],
        [fragment(b'"Bb"', "extension", is_complete=True)],
    ]


def test_a_resent_first_fragment_is_not_joined_with_itself() -> None:
    reassembler = Reassembler()

    results = added(reassembler, [fragment(b"[[1,"), fragment(b"[[1,"), fragment(b"2],3]", at=2)])

    assert results == [[], [], [fragment(b"[[1,2],3]", is_complete=True)]]


def test_later_fragments_may_be_equal() -> None:
    reassembler = Reassembler()

    results = added(reassembler, [fragment(b'"A'), fragment(b"AA"), fragment(b"AA"), fragment(b'A"')])

    assert results[-1] == [fragment(b'"AAAAAA"', is_complete=True)]


def test_held_fragments_can_be_released() -> None:
    reassembler = Reassembler()
    added(reassembler, [fragment(b'"A', at=1), fragment(b'"B', "extension", at=5)])

    assert reassembler.release(observed_before_ns=5) == [fragment(b'"A', at=1)]
    assert reassembler.holds("extension")
    assert reassembler.release() == [fragment(b'"B', "extension", at=5)]
    assert reassembler.count == 0


@pytest.mark.parametrize(
    ("raw", "ends_in_escape"),
    [(b'"a\\', True), (b'"a\\\\', False), (b'"a\\\\\\', True), (b'"a\\"', False), (b'"a', False)],
)
def test_a_record_can_end_in_an_escape(raw: bytes, ends_in_escape: bool) -> None:
    reassembler = Reassembler()
    reassembler.add(fragment(raw))

    assert (reassembler.ends_in_escape("function"), reassembler.ends_in_escape("extension")) == (ends_in_escape, False)


@pytest.mark.parametrize(
    ("held", "raw", "accepts"),
    [(b"", b'{"a"', True), (b"", b'a"}', False), (b'{"m":"', b'a"}', True), (b'{"m":"', b'"a', False)],
)
def test_a_fragment_is_accepted_if_the_result_could_become_json(held: bytes, raw: bytes, accepts: bool) -> None:
    reassembler = Reassembler()
    reassembler.add(fragment(held))

    assert reassembler.accepts(fragment(raw, at=2)) is accepts


def test_a_record_that_grows_too_large_is_released() -> None:
    reassembler = Reassembler()
    million = b"A" * 1_000_000

    results = added(reassembler, [fragment(b'"'), *[fragment(million, at=at) for at in range(2, 11)]])

    assert results == [[]] * 9 + [[fragment(b'"' + million * 8), fragment(million, at=10)]]


def test_the_number_of_held_types_is_bounded() -> None:
    reassembler = Reassembler()

    results = added(reassembler, [fragment(b'"', f"type {number}") for number in range(18)])

    assert results == [[]] * 16 + [[fragment(b'"', "type 16")], [fragment(b'"', "type 17")]]
    assert reassembler.count == 16


def test_what_is_held_is_bounded_for_all_types_together() -> None:
    reassembler = Reassembler()
    large = b'"' + b"A" * 3_000_000

    results = added(reassembler, [fragment(large, f"type {number}") for number in range(4)])

    assert results == [[], [], [fragment(large, "type 2")], [fragment(large, "type 3")]]


@FAST
@given(st.lists(st.tuples(st.sampled_from(["function", "extension"]), st.binary(max_size=6))))
def test_no_byte_is_lost(fragments: list[tuple[str, bytes]]) -> None:
    reassembler = Reassembler()
    # Each has its own time, or one of them could pass for a resent one.
    out = [one for at, (type_, raw) in enumerate(fragments) for one in reassembler.add(fragment(raw, type_, at=at))]
    out += reassembler.release()

    for type_ in ("function", "extension"):
        sent = b"".join(raw for of, raw in fragments if of == type_)
        assert b"".join(one.raw for one in out if one.type == type_) == sent
