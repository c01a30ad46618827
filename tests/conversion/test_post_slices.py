import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.conversion.post_slices import PlainPost
from tests.support.posts import event, post
from tests.support.properties import FAST

LINE = event("function", "a line")
REPORT = event("platform.report", {"requestId": "id"})
MEMBERS = st.lists(
    st.sampled_from(["function", "extension", "platform.report", [], {}, None]).map(
        lambda type_: {"time": "", "type": type_, "record": ""}
    )
    | st.sampled_from([None, 1, "text", [], {}]),
    max_size=700,
).map(
    lambda members: [
        {"at": at, **each} if isinstance(each, dict) else [at, each] for at, each in enumerate(members)
    ]
)


def plain(members: list[Any]) -> PlainPost:
    return PlainPost(list(members), len(post(*members)))


def all_of(few: PlainPost) -> list[Any]:
    taken: list[Any] = []
    while not few.is_over:
        taken += few.take_few()
    return taken


@FAST
@given(MEMBERS, st.integers(0, 5))
def test_each_member_is_given_once_or_left_once_and_in_order(members: list[Any], rounds: int) -> None:
    plain_post = plain(members)

    before = [member for _ in range(rounds) for member in plain_post.take_few()]
    left = json.loads(plain_post.leave_lines() or b"[]")
    after = all_of(plain_post)

    assert before == members[: len(before)]
    rest = members[len(before) :]
    assert left == [member for member in rest if member in left]
    assert after == [member for member in rest if member not in left]


def test_last_lines_and_what_is_no_line_stay() -> None:
    types = ["function", "extension"] * 500
    members = [event(type_, f"line {number}") for number, type_ in enumerate(types)]
    plain_post = plain([REPORT, *members, REPORT])

    left = json.loads(plain_post.leave_lines())
    stays = all_of(plain_post)

    assert left == members[: len(left)]
    assert stays == [REPORT, *members[len(left) :], REPORT]
    assert 50 < len(stays) < 150


def test_of_very_many_that_are_no_lines_nothing_stays() -> None:
    members = [LINE, *[REPORT] * 400]
    plain_post = plain(members)

    assert json.loads(plain_post.leave_lines()) == members
    assert plain_post.is_over


@pytest.mark.parametrize("members", [[], [REPORT], [LINE], [LINE, REPORT, LINE]])
def test_few_members_all_stay(members: list[Any]) -> None:
    plain_post = plain(members)

    assert (plain_post.leave_lines(), all_of(plain_post)) == (b"", members)


def test_few_are_fewer_where_they_are_large() -> None:
    small, large = plain([LINE] * 1_000), plain([event("function", "x" * 10_000)] * 1_000)

    assert 9_000 < small.few_bytes < 12_000
    assert (len(small.take_few()), len(large.take_few())) == (150, 3)
    assert 30_000 < large.few_bytes < 40_000


def test_size_of_few_is_that_of_what_is_there() -> None:
    plain_post = plain([LINE] * 160)

    plain_post.take_few()

    assert 600 < plain_post.few_bytes < 800


def test_after_lines_were_left_nobody_needs_to_ask_again() -> None:
    plain_post = plain([LINE] * 1_000)

    plain_post.leave_lines()

    assert plain_post.few_bytes == 0


def test_line_that_cannot_be_written_again_stays() -> None:
    """orjson reads 1,024 levels and writes 254."""
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    members = [LINE, event("function", deep), *[LINE] * 1_000]

    plain_post = plain(members)
    left = json.loads(plain_post.leave_lines())
    stays = all_of(plain_post)

    assert len(left) + len(stays) == len(members)
    assert stays[0] == members[1]
    assert 50 < len(stays) < 150
