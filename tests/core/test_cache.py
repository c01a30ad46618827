"""What was found out once, and what is forgotten."""

from telemetry_forwarder.core.cache import BoundedCache


def test_a_key_is_asked_for_once() -> None:
    asked: list[int] = []

    def double(number: int) -> int:
        asked.append(number)
        return 2 * number

    memo = BoundedCache(double, 4)

    assert [memo[1], memo[2], memo[1]] == [2, 4, 2]
    assert asked == [1, 2]


def test_no_more_is_kept_than_its_bound() -> None:
    memo = BoundedCache(str, 4)

    for number in range(4):
        assert memo[number] == str(number)
    assert len(memo) == 4

    assert memo[4] == "4"
    assert len(memo) == 1
