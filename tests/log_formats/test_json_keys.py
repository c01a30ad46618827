import pytest

from telemetry_forwarder.log_formats.json_keys import find_shape

LOGGER = ("timestamp", "Level", "message", "customer")


def test_shape_says_what_is_understood_and_what_is_not() -> None:
    shape = find_shape(LOGGER)

    assert shape is not None
    assert [key for key, *_ in shape.fields] == ["timestamp", "Level", "message"]
    assert shape.others == ("customer",)


def test_two_keys_for_one_thing_have_no_shape() -> None:
    assert find_shape(("level", "severity")) is None


@pytest.mark.parametrize("keys", [tuple(map(str, range(33))), ("x" * 513,)])
def test_what_no_logger_writes_again_and_again_is_not_kept(keys: tuple[str, ...]) -> None:
    kept = find_shape.cache_info().currsize

    with pytest.raises(ValueError, match="too many keys, or too long ones"):
        find_shape(keys)

    assert find_shape.cache_info().currsize == kept
