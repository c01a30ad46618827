import pytest

from telemetry_forwarder.log_formats.json_keys import shape_of

LOGGER = ("timestamp", "Level", "message", "customer")


def test_shape_says_what_is_understood_and_what_is_not() -> None:
    shape = shape_of(LOGGER)

    assert shape is not None
    assert [key for key, *_ in shape.fields] == ["timestamp", "Level", "message"]
    assert shape.others == ("customer",)


def test_two_keys_for_one_thing_have_no_shape() -> None:
    assert shape_of(("level", "severity")) is None


@pytest.mark.parametrize("keys", [tuple(map(str, range(33))), ("x" * 513,)])
def test_what_no_logger_writes_again_and_again_is_not_kept(keys: tuple[str, ...]) -> None:
    kept = shape_of.cache_info().currsize

    with pytest.raises(ValueError, match="not the keys of a logger"):
        shape_of(keys)

    assert shape_of.cache_info().currsize == kept
