import pytest

from telemetry_forwarder.log_formats.json_keys import find_shape

LOGGER = ("timestamp", "Level", "message", "customer")


def test_shape_separates_known_keys_from_others() -> None:
    shape = find_shape(LOGGER)

    assert shape is not None
    assert [key for key, *_ in shape.fields] == ["timestamp", "Level", "message"]
    assert shape.others == ("customer",)


def test_two_keys_of_one_kind_have_no_shape() -> None:
    assert find_shape(("level", "severity")) is None


@pytest.mark.parametrize("keys", [tuple(map(str, range(33))), ("x" * 513,)])
def test_unusual_keys_are_not_cached(keys: tuple[str, ...]) -> None:
    kept = find_shape.cache_info().currsize

    with pytest.raises(ValueError, match="too many keys, or too long ones"):
        find_shape(keys)

    assert find_shape.cache_info().currsize == kept
