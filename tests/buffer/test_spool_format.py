from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.buffer.spool_format import POSTS_BYTES, SpoolFile, SpoolFormat, batches_of_posts, posts_of
from telemetry_forwarder.core.batch import LOGS, POSTS, SIGNALS, SPANS, Batch

FORMAT = SpoolFormat(function="orders", version="7", process=b"\x01\x02\x03\x04")
BATCH = Batch(LOGS, b"first\nsecond", 2)


def written(batch: Batch, file_format: SpoolFormat = FORMAT) -> tuple[SpoolFile, bytes]:
    contents = file_format.head(batch) + batch.body
    return file_format.new_file(1, batch, len(contents)), contents


def test_name_and_head_are_readable() -> None:
    file, contents = written(BATCH)

    assert contents == b"a36ad99c telemetry-forwarder 1 orders:7 logs 2 12\nfirst\nsecond"
    assert file.name == "00000000000000000001-5c5400df-01020304-logs-2-62.batch"


@given(st.sampled_from((*SIGNALS, POSTS)), st.binary(max_size=200), st.integers(1, 10_000))
def test_batch_is_decoded_as_it_was_encoded(signal: str, body: bytes, items: int) -> None:
    file, contents = written(Batch(signal, body, items))

    assert FORMAT.parse_name(file.name) == file
    assert FORMAT.decode(file, contents) == Batch(signal, body, items)


def changed(file: SpoolFile, **changes: Any) -> SpoolFile:
    return SpoolFile(**{**vars(file), **changes})


def test_names_sort_by_age() -> None:
    moments = [9, 10, 1_790_000_000_000_000_000, 1_790_000_000_000_000_001]

    names = [FORMAT.new_file(moment, BATCH, 1).name for moment in moments]

    assert names == sorted(names)


def test_unfinished_file_is_recognised_by_its_name() -> None:
    file, contents = written(BATCH)

    part = FORMAT.parse_name(file.part_name)
    assert part

    assert part == changed(file, name=file.part_name)
    assert (file.is_part, part.is_part) == (False, True)
    assert FORMAT.decode(part, contents) == BATCH


@given(st.data())
def test_single_flipped_bit_is_detected(data: st.DataObject) -> None:
    file, contents = written(BATCH)
    at = data.draw(st.integers(0, len(contents) * 8 - 1))
    damaged = bytearray(contents)
    damaged[at // 8] ^= 1 << at % 8

    assert FORMAT.decode(file, bytes(damaged)) is None


def test_contents_cut_at_any_length_are_detected() -> None:
    file, contents = written(BATCH)

    assert [FORMAT.decode(file, contents[:length]) for length in range(len(contents))] == [None] * len(contents)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_batch(contents: bytes) -> None:
    assert FORMAT.decode(written(BATCH)[0], contents) is None


@given(st.text(max_size=80))
def test_arbitrary_names_are_no_spool_file(name: str) -> None:
    assert FORMAT.parse_name(name) is None


@pytest.mark.parametrize("change", [{"signal": SPANS}, {"items": 3}])
def test_name_that_contradicts_the_contents_is_damage(change: dict[str, object]) -> None:
    file, contents = written(BATCH)

    assert FORMAT.decode(changed(file, **change), contents) is None


@pytest.mark.parametrize(("function", "version"), [("orders", "8"), ("order", "7")])
def test_file_of_another_function_version_is_not_read(function: str, version: str) -> None:
    other = SpoolFormat(function=function, version=version, process=b"\x01\x02\x03\x04")
    file, contents = written(BATCH, other)

    assert FORMAT.parse_name(file.name) is None
    assert FORMAT.decode(file, contents) is None


def test_function_with_a_name_that_is_not_utf8_has_files_of_its_own() -> None:
    batch = Batch(LOGS, b"body", 1)
    odd, other = (SpoolFormat(function=name, version="\udcff", process=bytes(4)) for name in ("\udcff", "\udcfe"))
    file, contents = written(batch, odd)

    assert odd.decode(file, contents) == batch
    assert (other.parse_name(file.name), other.decode(file, contents)) == (None, None)


def test_file_of_another_process_of_the_same_function_version_is_read() -> None:
    other = SpoolFormat(function="orders", version="7", process=b"\x0a\x0b\x0c\x0d")
    file, contents = written(BATCH, other)

    assert file.name != written(BATCH)[0].name
    assert FORMAT.parse_name(file.name) == file
    assert FORMAT.decode(file, contents) == BATCH


@given(st.lists(st.one_of(st.binary(max_size=20), st.integers(0, POSTS_BYTES + 1).map(bytes)), max_size=12))
def test_posts_are_read_as_they_were_stored(contents: list[bytes]) -> None:
    batches = list(batches_of_posts(contents, POSTS_BYTES))

    assert [content for batch in batches for content in posts_of(batch)] == contents
    assert sum(batch.items for batch in batches) == len(contents)
    sizes = [sum(map(len, posts_of(batch))) for batch in batches]
    assert all(size <= POSTS_BYTES for size, batch in zip(sizes, batches, strict=True) if batch.items > 1)
    assert all(size + len(posts_of(after)[0]) > POSTS_BYTES for size, after in zip(sizes, batches[1:], strict=False))


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"", 2),
        (b"[]", 2),
        (b":", 2),
        (b"1:a", 2),
        (b"1:a1:b1:c", 2),
        (b"1:a9:b", 2),
        (b"1:a1b", 2),
        (b"1:a-1:b", 2),
        (b"1:a" + b"9" * 5_000 + b":b", 2),
        (b"0:0:", 1),
        (b"", 0),
        (b"[]", 0),
    ],
)
def test_posts_of_a_forged_file_are_its_body(body: bytes, items: int) -> None:
    assert posts_of(Batch(POSTS, body, items)) == [body]


@given(st.binary(max_size=30), st.integers(0, 5))
def test_posts_of_any_bytes_are_a_part_of_them(body: bytes, items: int) -> None:
    contents = posts_of(Batch(POSTS, body, items))

    assert len(contents) in (1, max(items, 1))
    assert all(content in body for content in contents)
