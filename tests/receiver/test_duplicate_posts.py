from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts


def test_same_bytes_are_new_once() -> None:
    repeats = DuplicatePosts()

    assert [repeats.is_new(post) for post in (b"a", b"b", b"a", b"b", b"c")] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_the_oldest_is_forgotten_and_a_repeat_is_not_old() -> None:
    repeats = DuplicatePosts(2)

    for post in (b"a", b"b", b"a", b"c"):
        repeats.is_new(post)

    assert [repeats.is_new(post) for post in (b"a", b"b")] == [False, True]


@given(st.lists(st.binary(max_size=2), max_size=60))
def test_with_memory_enough_each_content_is_new_once(posts: list[bytes]) -> None:
    repeats = DuplicatePosts(60)

    assert sum(repeats.is_new(post) for post in posts) == len(set(posts))
