from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.semconv import schemas
from opentelemetry.semconv._incubating import attributes as conventions

from telemetry_forwarder.otlp.platform_attributes import ATTRIBUTES
from telemetry_forwarder.otlp.resource import (
    SCHEMA_URL,
    CurrentResource,
    describe_function,
    encode_resource,
    encode_scope,
)
from tests.support.otlp_messages import attributes

ENVIRON = {
    "AWS_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "7",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
}
REGISTRATION = {"functionName": "registered", "functionVersion": "8", "handler": "a.b", "accountId": "111122223333"}


def describe(environ: Mapping[str, str], registration: Mapping[str, Any] = MappingProxyType({})) -> Resource:
    """Return the resource of variables that are all valid."""
    problems: list[str] = []
    found = describe_function(environ, registration, problems)
    assert problems == []
    return found


def decode(resource_field: bytes) -> dict[str, Any]:
    return attributes(ResourceLogs.FromString(resource_field).resource.attributes)


def test_environment_and_registration_describe_the_function() -> None:
    assert dict(describe(ENVIRON, REGISTRATION).attributes) == {
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": "eu-west-1",
        "cloud.account.id": "111122223333",
        "faas.name": "orders",
        "faas.version": "7",
        "faas.max_memory": 134_217_728,
        "service.name": "orders",
    }


def test_registration_replaces_missing_variables() -> None:
    assert dict(describe({}, REGISTRATION).attributes) == {
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.account.id": "111122223333",
        "faas.name": "registered",
        "faas.version": "8",
        "service.name": "registered",
    }


@pytest.mark.parametrize("memory", ["", "lots", "-1", "²", "١٢٨", "1" * 10, "1.5"])
def test_invalid_values_are_left_out(memory: str) -> None:
    found = describe({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}, {"functionName": 5, "accountId": None})

    assert dict(found.attributes) == {"cloud.provider": "aws", "cloud.platform": "aws_lambda"}


def test_the_users_own_resource_attributes_take_precedence() -> None:
    attributes = "deployment.environment=test%2C%20x, cloud.region = mars ,service.name=x,,empty="
    found = describe({**ENVIRON, "OTEL_RESOURCE_ATTRIBUTES": attributes, "OTEL_SERVICE_NAME": "shop"}).attributes

    names = ("deployment.environment", "cloud.region", "service.name", "faas.name", "empty")
    assert [found[name] for name in names] == ["test, x", "mars", "shop", "orders", ""]


@pytest.mark.parametrize("attributes", ["a=b", "a=b,c=d=e", "service.name=x", " a = b%20c ", "é=%C3%A9", "a=", ",", ""])
def test_valid_resource_attributes_are_read_as_the_sdk_reads_them(
    attributes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"OTEL_RESOURCE_ATTRIBUTES": attributes, "OTEL_SERVICE_NAME": "shop"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    of_the_sdk = OTELResourceDetector().detect().attributes

    assert {key: value for key, value in describe(environ).attributes.items() if key in of_the_sdk} == of_the_sdk


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ("a", "entry 1 is not key=value"),
        ("=x,a=b, =,c", "entries 1, 3, 4 are not key=value"),
        ("x," * 40, "entries 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, … are not key=value"),
    ],
)
def test_invalid_resource_attributes_are_one_problem(attributes: str, complaint: str) -> None:
    problems: list[str] = []

    describe_function({"OTEL_RESOURCE_ATTRIBUTES": attributes}, {}, problems)

    assert problems == [f"OTEL_RESOURCE_ATTRIBUTES: {complaint}; using the other entries instead"]


@pytest.mark.parametrize("value", ["%zz", "100%", "%4", "%ff", "%C3", "a%20b%"])
def test_resource_attribute_that_cannot_be_decoded_is_kept_as_it_is_and_reported(value: str) -> None:
    problems: list[str] = []

    found = describe_function({"OTEL_RESOURCE_ATTRIBUTES": f"a=b%20c,d={value}"}, {}, problems)

    assert (found.attributes["a"], found.attributes["d"]) == ("b c", value)
    complaint = "entry 2 is not percent-encoded; using the value as it is instead"
    assert problems == [f"OTEL_RESOURCE_ATTRIBUTES: {complaint}"]


def test_quotes_around_the_users_own_variables_are_removed() -> None:
    environ = {"OTEL_RESOURCE_ATTRIBUTES": '"a=b,c=d"', "OTEL_SERVICE_NAME": "'shop'"}

    found = describe(environ).attributes

    assert [found[name] for name in ("a", "c", "service.name")] == ["b", "d", "shop"]


def test_a_variable_that_is_not_utf8_is_escaped() -> None:
    """Python reads its bytes as lone surrogates, at which every encoder of the SDK raises."""
    found = describe({**ENVIRON, "AWS_REGION": "eu\udcff"})

    assert found.attributes["cloud.region"] == "eu\\udcff"
    assert decode(encode_resource(found))["cloud.region"] == "eu\\udcff"


@pytest.mark.parametrize("message", [ResourceLogs, ResourceSpans, ResourceMetrics])
def test_resource_is_the_same_field_of_every_signal(message: Any) -> None:
    found = message.FromString(encode_resource(Resource({"a": 1, "b": "x", "c": (True,)})))

    assert [descriptor.name for descriptor, _ in found.ListFields()] == ["resource", "schema_url"]
    assert found.schema_url == SCHEMA_URL
    assert attributes(found.resource.attributes) == {"a": 1, "b": "x", "c": [True]}


@pytest.mark.parametrize("message", [ScopeLogs, ScopeSpans, ScopeMetrics])
@pytest.mark.parametrize("version", ["1.2", ""])
def test_scope_is_the_same_field_of_every_signal(message: Any, version: str) -> None:
    expected = message(scope=InstrumentationScope(name="aws.lambda", version=version), schema_url=SCHEMA_URL)

    assert encode_scope("aws.lambda", version) == expected.SerializeToString()


def test_added_attributes_are_encoded_with_the_others() -> None:
    current = CurrentResource(Resource({"faas.name": "orders", "faas.max_memory": 5}))

    current.add({"faas.instance": "i", "faas.name": "shop"})

    expected = {"faas.name": "shop", "faas.max_memory": 5, "faas.instance": "i"}
    assert decode(current.field) == expected
    assert [current.text(name) for name in ("faas.name", "faas.max_memory", "absent")] == ["shop", "5", ""]


ARN = "arn:aws:lambda:eu-west-1:111122223333:function:orders"


@pytest.mark.parametrize(
    ("arn", "version", "resource_id"),
    [
        (ARN, "$LATEST", ARN),
        (f"{ARN}:$LATEST", "$LATEST", ARN),
        (f"{ARN}:live", "$LATEST", ARN),
        (f"{ARN}:live", "7", f"{ARN}:7"),
        (f"{ARN}:7", "7", f"{ARN}:7"),
        (f"{ARN}:live", "", ARN),
    ],
)
def test_function_is_identified_by_the_version_that_runs(arn: str, version: str, resource_id: str) -> None:
    """However it was invoked: so it is the same for all invocations of an environment."""
    current = CurrentResource(Resource({"faas.version": version} if version else {}))

    assert current.identify(arn) == {"cloud.resource_id": resource_id}
    assert decode(current.field)["cloud.resource_id"] == resource_id


def test_function_is_identified_once() -> None:
    current = CurrentResource(Resource({}))
    assert current.identify("") == {}
    current.identify(ARN)

    assert current.identify(f"{ARN}-2") == {}
    assert current.text("cloud.resource_id") == ARN


def test_function_is_identified_as_the_user_wants() -> None:
    current = CurrentResource(Resource({"cloud.resource_id": "mine"}))

    assert current.identify(ARN) == {}
    assert current.text("cloud.resource_id") == "mine"


def test_names_are_those_of_the_schema() -> None:
    known = {
        value
        for path in Path(conventions.__path__[0]).glob("*_attributes.py")
        for name, value in vars(import_module(f"{conventions.__name__}.{path.stem}")).items()
        if name.isupper() and isinstance(value, str)
    }
    described = {*describe(ENVIRON, REGISTRATION).attributes, "faas.instance", "cloud.resource_id", "faas.coldstart"}
    mapped = {name for name, _ in ATTRIBUTES.values() if not name.startswith("lambda.")}

    assert (described | mapped) - known == set()
    assert SCHEMA_URL in [schema.value for schema in schemas.Schemas]


@pytest.mark.parametrize(
    ("instance_id", "name"),
    [("2026/10/08/[7]0123", "2026/10/08/[7]0123"), ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", ""), ("", "")],
)
def test_instance_is_named_if_its_id_is_the_log_stream(instance_id: str, name: str) -> None:
    current = CurrentResource(Resource({}))

    current.name_instance(instance_id)

    assert current.text("faas.instance") == name
    assert current.has("faas.instance", instance_id) is (name != "")
