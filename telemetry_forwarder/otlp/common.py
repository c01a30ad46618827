"""What all three signals share: the resource, the scopes, and JSON values as OTLP's AnyValue. Pure."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from telemetry_forwarder.otlp.protobuf import MAX_DEPTH, MAX_INT, MIN_INT, field
from telemetry_forwarder.telemetry.json_values import write_json

_MB = 1_048_576
_MEMORY_MB = re.compile("[0-9]{1,9}")

Attributes = Mapping[str, Any]


def resource(environ: Mapping[str, str], registration: Mapping[str, Any]) -> Resource:
    """What the function is, by the semantic conventions. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win.

    https://opentelemetry.io/docs/specs/semconv/resource/faas/
    """
    name = environ.get("AWS_LAMBDA_FUNCTION_NAME") or _text(registration.get("functionName"))
    memory_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    attributes: dict[str, Any] = {
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": environ.get("AWS_REGION", ""),
        "cloud.account.id": _text(registration.get("accountId")),
        "faas.name": name,
        "faas.version": environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        or _text(registration.get("functionVersion")),
        "faas.max_memory": int(memory_mb) * _MB if _MEMORY_MB.fullmatch(memory_mb) else 0,
        "service.name": name,
    }
    known = {key: value for key, value in attributes.items() if value}
    # The detector reads os.environ itself, which is where *environ* comes from too.
    resource = Resource(known).merge(OTELResourceDetector().detect())
    return Resource({clean(key): _cleaned(value) for key, value in resource.attributes.items()})


class HashedOnce(Resource):
    """The same resource. The SDK asks for the hash of its JSON for each span, and it never changes."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(dict(resource.attributes), resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


def resource_field(resource: Resource) -> bytes:
    """The first field of what each signal says of one resource. It never changes, so it is encoded once."""
    return field(b"\x0a", ResourceMessage(attributes=key_values(resource.attributes)).SerializeToString())


class OfResource:
    """An encoder that says all of one resource, which may come to be known better."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    @property
    def resource(self) -> Resource:
        return self._resource

    @resource.setter
    def resource(self, resource: Resource) -> None:
        self._resource = resource
        self._resource_field = resource_field(resource)


def scope_field(name: str, version: str) -> bytes:
    """The same of one scope."""
    return field(b"\x0a", InstrumentationScope(name=name, version=version).SerializeToString())


def key_values(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=clean(key), value=any_value(value)) for key, value in attributes.items()]


def any_value(value: Any, depth: int = 0) -> AnyValue:
    """*value*, any JSON value, with its type. Takes every value: what has no place in OTLP becomes text."""
    if isinstance(value, str):
        return text_value(value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if MIN_INT <= value <= MAX_INT else AnyValue(string_value=str(value))
    if isinstance(value, float):
        # JSON has neither infinities nor NaN, and neither have OTLP's JSON readers everywhere.
        return AnyValue(double_value=value) if math.isfinite(value) else AnyValue(string_value=repr(value))
    if value is None:
        return AnyValue()
    if depth >= MAX_DEPTH:
        return text_value(write_json(value))
    if isinstance(value, Mapping):
        pairs = [KeyValue(key=clean(key), value=any_value(inner, depth + 1)) for key, inner in value.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    return AnyValue(array_value=ArrayValue(values=[any_value(inner, depth + 1) for inner in _items(value)]))


def text_value(text: str) -> AnyValue:
    try:
        return AnyValue(string_value=text)
    except (UnicodeEncodeError, ValueError):
        return AnyValue(string_value=clean(text))


def clean(text: str) -> str:
    """*text* as valid UTF-8: a lone surrogate, which JSON can spell, becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cleaned(value: Any) -> Any:
    # An environment variable may hold any bytes, and one bad attribute would cost every span and metric.
    return clean(value) if isinstance(value, str) else value


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else [repr(value)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
