from telemetry_forwarder.core.cache import BoundedCache


def test_result_of_a_key_is_computed_once() -> None:
    computed: list[int] = []

    def double(number: int) -> int:
        computed.append(number)
        return 2 * number

    cache = BoundedCache(double, 4)

    assert [cache[1], cache[2], cache[1]] == [2, 4, 2]
    assert computed == [1, 2]


def test_full_cache_is_cleared() -> None:
    cache = BoundedCache(str, 4)

    for number in range(4):
        assert cache[number] == str(number)
    assert len(cache) == 4

    assert cache[4] == "4"
    assert len(cache) == 1


def test_result_that_is_cached_is_no_new_entry() -> None:
    cache = BoundedCache(str, 1)

    assert [cache[1], cache[1], len(cache)] == ["1", "1", 1]
