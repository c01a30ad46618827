import pytest

from telemetry_forwarder.buffer.spool_format import SpoolFile, SpoolFormat
from telemetry_forwarder.buffer.spool_index import SpoolIndex, on_disk
from telemetry_forwarder.core.batch import LOGS, METRICS, POSTS, SPANS, Batch

FORMAT = SpoolFormat(function="orders", version="7", process=b"\0\0\0\0")


def file(ordinal: int, signal: str = LOGS, size_bytes: int = 100) -> SpoolFile:
    return FORMAT.new_file(ordinal, Batch(signal, b"", 1), size_bytes)


def index_of(*files: SpoolFile) -> SpoolIndex:
    index = SpoolIndex()
    for each in files:
        index.add(each)
    return index


@pytest.mark.parametrize(("size_bytes", "used_bytes"), [(0, 0), (1, 4_096), (4_096, 4_096), (4_097, 8_192)])
def test_file_occupies_whole_blocks(size_bytes: int, used_bytes: int) -> None:
    assert on_disk(size_bytes) == used_bytes


def test_new_index_is_empty() -> None:
    index = SpoolIndex()

    assert (index.batches, index.posts, index.used_bytes) == (0, 0, 0)
    assert (index.oldest(LOGS), index.oldest_of_all()) == (None, None)


def test_batches_and_posts_are_counted_separately() -> None:
    index = index_of(file(1), file(2, SPANS), file(3, POSTS), file(4, METRICS))

    assert (index.batches, index.posts) == (3, 1)


def test_files_are_taken_oldest_first() -> None:
    index = index_of(file(2, SPANS), file(3, LOGS), file(4, LOGS))

    assert index.oldest_of_all() == file(2, SPANS)
    assert index.oldest(LOGS) == file(3, LOGS)
    index.take(file(3, LOGS))
    assert index.oldest(LOGS) == file(4, LOGS)


def test_file_that_is_put_back_is_the_oldest_again() -> None:
    index = index_of(file(1), file(2))
    index.take(file(1))

    index.put_back(file(1))

    assert (index.oldest(LOGS), index.batches) == (file(1), 2)


def test_space_of_a_file_is_in_use_until_it_is_removed() -> None:
    index = index_of(file(1, size_bytes=5_000))

    index.take(file(1, size_bytes=5_000))
    assert index.used_bytes == 8_192

    index.removed(file(1, size_bytes=5_000))
    assert index.used_bytes == 0


@pytest.mark.parametrize(("unix_ns", "ordinal"), [(4, 6), (5, 6), (6, 6), (7, 7)])
def test_ordinal_of_a_new_file_is_later_than_all_others(unix_ns: int, ordinal: int) -> None:
    assert index_of(file(5), file(3, SPANS)).new_ordinal(unix_ns) == ordinal
