import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.otlp.common import (
    HashedOnce,
    any_value,
    clean,
    key_values,
    resource,
    resource_field,
    scope_field,
    text_value,
)
from tests.support.otlp_messages import attributes, plain
from tests.support.properties import FAST

ENVIRON = {
    "AWS_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "7",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
}
REGISTRATION = {
    "functionName": "registered",
    "functionVersion": "8",
    "handler": "a.b",
    "accountId": "111122223333",
}


@pytest.fixture(autouse=True)
def no_otel_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's detector reads them from the process, whatever it is told."""
    for name in ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_resource_says_what_the_function_is() -> None:
    assert dict(resource(ENVIRON, REGISTRATION).attributes) == {
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": "eu-west-1",
        "cloud.account.id": "111122223333",
        "faas.name": "orders",
        "faas.version": "7",
        "faas.max_memory": 134_217_728,
        "service.name": "orders",
    }


def test_resource_takes_from_the_registration_what_the_environment_lacks() -> None:
    assert dict(resource({}, REGISTRATION).attributes) == {
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.account.id": "111122223333",
        "faas.name": "registered",
        "faas.version": "8",
        "service.name": "registered",
    }


@pytest.mark.parametrize("memory", ["", "lots", "-1", "²", "١٢٨", "1" * 10, "1.5"])
def test_resource_leaves_out_what_makes_no_sense(memory: str) -> None:
    found = resource({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}, {"functionName": 5, "accountId": None})

    assert dict(found.attributes) == {"cloud.provider": "aws", "cloud.platform": "aws_lambda"}


def test_the_users_own_resource_attributes_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,cloud.region=mars,service.name=x"
    )
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")

    found = resource(ENVIRON, {}).attributes

    assert [
        found[name] for name in ("deployment.environment", "cloud.region", "service.name", "faas.name")
    ] == [
        "test",
        "mars",
        "shop",
        "orders",
    ]


def test_an_environment_variable_that_is_no_text_costs_nothing_else() -> None:
    """Python gives such bytes as lone surrogates, at which every encoder of the SDK raises."""
    found = resource({**ENVIRON, "AWS_REGION": "eu\udcff"}, {})

    assert found.attributes["cloud.region"] == "eu\\udcff"
    said = ResourceLogs.FromString(resource_field(found)).resource.attributes
    assert attributes(said)["cloud.region"] == "eu\\udcff"


@pytest.mark.parametrize("message", [ResourceLogs, ResourceSpans, ResourceMetrics])
def test_the_resource_is_the_same_field_of_every_signal_and_has_the_types(message: Any) -> None:
    found = message.FromString(resource_field(Resource({"a": 1, "b": "x", "c": (True,)})))

    assert [descriptor.name for descriptor, _ in found.ListFields()] == ["resource"]
    assert attributes(found.resource.attributes) == {"a": 1, "b": "x", "c": [True]}


@pytest.mark.parametrize("message", [ScopeLogs, ScopeSpans, ScopeMetrics])
def test_the_scope_is_the_same_field_of_every_signal(message: Any) -> None:
    found = message.FromString(scope_field("aws.lambda", "1.2"))

    assert found == message(scope=InstrumentationScope(name="aws.lambda", version="1.2"))


@pytest.mark.parametrize(
    ("value", "plainly"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**63, "9223372036854775808"),
        (0.5, 0.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("text\x00 é", "text\x00 é"),
        ("lone \ud800", "lone \\ud800"),
        ([1, [None], {}], [1, [None], {}]),
        ((1, "x"), [1, "x"]),
        ({"a": {"\udfff": 1}}, {"a": {"\\udfff": 1}}),
        (b"bytes", ["b'bytes'"]),
    ],
)
def test_any_value_keeps_its_type(value: Any, plainly: Any) -> None:
    found = plain(any_value(value))

    assert (found, type(found)) == (plainly, type(plainly))


@pytest.mark.parametrize("depth", [25, 100, 1_000])
def test_what_is_nested_too_deep_for_receivers_is_kept_as_json(depth: int) -> None:
    deep: Any = [math.nan, 2**70, "\ud800"]
    for _ in range(depth):
        deep = {"a": deep}

    # Protobuf's own readers refuse a message nested deeper than 100.
    found = plain(AnyValue.FromString(any_value(deep).SerializeToString()))

    for _ in range(24):
        found = found["a"]
    assert found == '{"a":' * (depth - 24) + f'[NaN,{2**70},"\\ud800"]' + "}" * (depth - 24)


def test_key_values_are_clean() -> None:
    assert key_values({"\ud800": "\udfff", "a": 1}) == [
        KeyValue(key="\\ud800", value=AnyValue(string_value="\\udfff")),
        KeyValue(key="a", value=AnyValue(int_value=1)),
    ]


@FAST
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_valid_utf8_and_valid_text_stays(text: str) -> None:
    cleaned = clean(text)

    assert text_value(text) == AnyValue(string_value=cleaned)
    assert cleaned.encode().decode() == cleaned
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert cleaned == text


# What OTLP has a place for.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@FAST
@given(VALUES)
def test_any_json_is_a_value_that_reads_back(value: Any) -> None:
    message = AnyValue.FromString(any_value(value).SerializeToString())

    assert repr(plain(message)) == repr(value)


def test_resource_that_is_hashed_once_is_the_same_resource() -> None:
    plain = Resource({"service.name": "s", "n": 1}, "https://schema")

    once = HashedOnce(plain)

    assert (once, hash(once), once.attributes, once.schema_url) == (
        plain,
        hash(plain),
        plain.attributes,
        plain.schema_url,
    )
    assert hash(once) == hash(HashedOnce(once))
