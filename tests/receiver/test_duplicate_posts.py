from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.receiver.duplicate_posts import DuplicatePosts


def test_equal_bytes_are_new_once() -> None:
    posts = DuplicatePosts()

    assert [posts.is_new(content) for content in (b"a", b"b", b"a", b"b", b"c")] == [True, True, False, False, True]


def test_oldest_post_is_forgotten_and_a_duplicate_counts_as_recent() -> None:
    posts = DuplicatePosts(2)

    for content in (b"a", b"b", b"a", b"c"):
        posts.is_new(content)

    assert [posts.is_new(content) for content in (b"a", b"b")] == [False, True]


@given(st.lists(st.binary(max_size=2), max_size=60))
def test_each_content_is_new_once_within_the_limit(contents: list[bytes]) -> None:
    posts = DuplicatePosts(60)

    assert sum(posts.is_new(content) for content in contents) == len(set(contents))


def test_a_post_is_recognised_after_as_many_others_as_lambda_may_have_in_flight() -> None:
    posts = DuplicatePosts()
    contents = [b"%d" % number for number in range(64)]

    assert [posts.is_new(content) for content in contents] == [True] * 64
    assert [posts.is_new(content) for content in contents] == [False] * 64
