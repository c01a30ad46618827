from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.reassembly import Fragment, Reassembler
from tests.support.properties import FAST


def piece(raw: bytes, type_: str = "function", *, at: int = 1, is_complete: bool = False) -> Fragment:
    return Fragment(type=type_, time=f"time {at}", raw=raw, observed_ns=at, is_complete=is_complete)


def added(stitcher: Reassembler, pieces: Iterable[Fragment]) -> list[list[Fragment]]:
    return [stitcher.add(one) for one in pieces]


def test_fragments_are_joined_in_the_envelope_of_the_first() -> None:
    stitcher = Reassembler()

    given_out = added(stitcher, [piece(b'{"m":"AA'), piece(b"BB", at=2), piece(b'CC"}', at=3)])

    assert given_out == [[], [], [piece(b'{"m":"AABBCC"}', is_complete=True)]]
    assert stitcher.count == 0


@pytest.mark.parametrize("raw", [b'{"a":1}', b'"a"', b"[1,2]", b'{"a":1}}', b'{"a":1} }\n'])
def test_a_complete_record_passes_even_with_surplus_closing_brackets(raw: bytes) -> None:
    assert Reassembler().add(piece(raw)) == [piece(raw, is_complete=True)]


@pytest.mark.parametrize("raw", [b'BB"}', b'{"a":1}]', b'{"a":1}{', b'"a""b"', b"}", b"x"])
def test_bytes_that_begin_no_json_remain_a_fragment(raw: bytes) -> None:
    assert Reassembler().add(piece(raw)) == [piece(raw)]


def test_a_fragment_that_cannot_continue_the_held_one_replaces_it() -> None:
    stitcher = Reassembler()

    given_out = added(stitcher, [piece(b'{"m":"AA'), piece(b'{"m":"BB', at=2), piece(b'"}', at=3)])

    assert given_out == [[], [piece(b'{"m":"AA')], [piece(b'{"m":"BB"}', at=2, is_complete=True)]]


def test_types_are_joined_separately() -> None:
    stitcher = Reassembler()

    given_out = added(
        stitcher, [piece(b'"A'), piece(b'"B', "extension"), piece(b'a"'), piece(b'b"', "extension")]
    )

    assert given_out == [
        [],
        [],
        [piece(b'"Aa"', is_complete=True)],
        [piece(b'"Bb"', "extension", is_complete=True)],
    ]


def test_a_resent_first_fragment_is_not_joined_with_itself() -> None:
    stitcher = Reassembler()

    given_out = added(stitcher, [piece(b"[[1,"), piece(b"[[1,"), piece(b"2],3]", at=2)])

    assert given_out == [[], [], [piece(b"[[1,2],3]", is_complete=True)]]


def test_later_fragments_may_be_equal() -> None:
    stitcher = Reassembler()

    given_out = added(stitcher, [piece(b'"A'), piece(b"AA"), piece(b"AA"), piece(b'A"')])

    assert given_out[-1] == [piece(b'"AAAAAA"', is_complete=True)]


def test_held_fragments_can_be_released() -> None:
    stitcher = Reassembler()
    added(stitcher, [piece(b'"A', at=1), piece(b'"B', "extension", at=5)])

    assert stitcher.release(observed_before_ns=5) == [piece(b'"A', at=1)]
    assert stitcher.holds("extension")
    assert stitcher.release() == [piece(b'"B', "extension", at=5)]
    assert stitcher.count == 0


@pytest.mark.parametrize(
    ("raw", "ends_in_escape"),
    [(b'"a\\', True), (b'"a\\\\', False), (b'"a\\\\\\', True), (b'"a\\"', False), (b'"a', False)],
)
def test_a_record_can_end_in_an_escape(raw: bytes, ends_in_escape: bool) -> None:
    stitcher = Reassembler()
    stitcher.add(piece(raw))

    assert (stitcher.ends_in_escape("function"), stitcher.ends_in_escape("extension")) == (
        ends_in_escape,
        False,
    )


@pytest.mark.parametrize(
    ("count", "raw", "accepts"),
    [(b"", b'{"a"', True), (b"", b'a"}', False), (b'{"m":"', b'a"}', True), (b'{"m":"', b'"a', False)],
)
def test_a_fragment_is_accepted_if_the_result_could_become_json(
    count: bytes, raw: bytes, accepts: bool
) -> None:
    stitcher = Reassembler()
    stitcher.add(piece(count))

    assert stitcher.accepts(piece(raw, at=2)) is accepts


def test_a_record_that_grows_too_large_is_released() -> None:
    stitcher = Reassembler()
    million = b"A" * 1_000_000

    given_out = added(stitcher, [piece(b'"'), *[piece(million, at=at) for at in range(2, 11)]])

    assert given_out == [[]] * 9 + [[piece(b'"' + million * 8), piece(million, at=10)]]


def test_the_number_of_held_types_is_bounded() -> None:
    stitcher = Reassembler()

    given_out = added(stitcher, [piece(b'"', f"type {number}") for number in range(18)])

    assert given_out == [[]] * 16 + [[piece(b'"', "type 16")], [piece(b'"', "type 17")]]
    assert stitcher.count == 16


@FAST
@given(st.lists(st.tuples(st.sampled_from(["function", "extension"]), st.binary(max_size=6))))
def test_no_byte_is_lost(pieces: list[tuple[str, bytes]]) -> None:
    stitcher = Reassembler()
    # No two alike in time, or one of them could pass for a redelivery.
    out = [one for at, (type_, raw) in enumerate(pieces) for one in stitcher.add(piece(raw, type_, at=at))]
    out += stitcher.release()

    for type_ in ("function", "extension"):
        sent = b"".join(raw for of, raw in pieces if of == type_)
        assert b"".join(one.raw for one in out if one.type == type_) == sent
