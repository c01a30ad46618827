from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.log_formats import attribute_names
from telemetry_forwarder.log_formats.attribute_names import REQUEST_ID, TENANT_ID

KEYS = st.lists(
    st.sampled_from(["", "a", REQUEST_ID, TENANT_ID, "lambda.x", "lambda.line.", "lambda.line.a", "\ud800"])
    | st.text(st.characters(codec=None)),
    unique=True,
)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("order", "order"),
        ("lambda", "lambda"),
        (REQUEST_ID, f"lambda.line.{REQUEST_ID}"),
        (TENANT_ID, f"lambda.line.{TENANT_ID}"),
        ("event.name", "event.name"),
        ("lambda.envelope.time", "lambda.line.lambda.envelope.time"),
        ("lambda.line.prefix", "lambda.line.prefix"),
        ("", "lambda.line.empty_key"),
        ("\ud800", "lambda.line.\\ud800"),
        ("größe", "größe"),
    ],
)
def test_a_users_key_is_renamed_only_if_it_is_one_of_ours(key: str, name: str) -> None:
    assert attribute_names.name_keys([key]) == (name,)
    assert attribute_names.add({}, key, 1) == {name: 1}


def test_a_key_that_is_taken_is_renamed() -> None:
    assert attribute_names.add({"a": 1, "lambda.line.a": 2}, "a", 3) == {
        "a": 1,
        "lambda.line.a": 2,
        "lambda.line.a_": 3,
    }


def test_ours_replace_an_attribute_of_the_same_name_and_keep_its_value() -> None:
    assert attribute_names.override({"a": 1, "b": 2, "c": 3}, {"a": 5, "b": 2}) == {
        "a": 5, "b": 2, "c": 3, "lambda.line.a": 1
    }  # fmt: skip


@given(KEYS)
def test_names_are_unique_valid_and_never_ours(keys: list[str]) -> None:
    names = attribute_names.name_keys(keys)

    assert len(set(names)) == len(keys)
    assert all(name and name.encode() and name not in (REQUEST_ID, TENANT_ID) for name in names)
    attributes: dict[str, Any] = dict.fromkeys(keys, 1)
    assert list(attribute_names.name_attributes(attributes)) == list(names)
