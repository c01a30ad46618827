"""Describes the function as an OTLP resource; encodes resources and instrumentation scopes. Pure."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.otlp.protobuf import AttributesEncoder, escape_surrogates, field, text_field
from telemetry_forwarder.settings import not_valid, read_value, reject

_ATTRIBUTES, _SERVICE_NAME = "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"
_BYTES_PER_MB = 1_048_576
_MEMORY_MB = re.compile("[0-9]{1,9}")
_NO_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions whose names are used."""
RESOURCE_ID = "cloud.resource_id"
ZONE = "cloud.availability_zone"
# Of a function's ARN; an eighth part is a version or an alias.
_ARN_PARTS = 7
_UNPUBLISHED = "$LATEST"

# Tags (field number and wire type). They are the same in the messages of every signal.
_RESOURCE, _SCOPE, _SCHEMA_URL = b"\x0a", b"\x0a", b"\x1a"
_NAME, _VERSION = b"\x0a", b"\x12"
_attributes = AttributesEncoder(b"\x0a")


def describe_function(environ: Mapping[str, str], registration: Mapping[str, Any], problems: list[str]) -> Resource:
    """Return the function's resource; append one sentence to *problems* if OTEL_RESOURCE_ATTRIBUTES is invalid.

    That and OTEL_SERVICE_NAME take precedence. *registration* is the response to `register`; it serves where *environ*
    lacks a variable.
    https://opentelemetry.io/docs/specs/semconv/resource/faas/
    """
    name = environ.get("AWS_LAMBDA_FUNCTION_NAME") or _text(registration.get("functionName"))
    version = environ.get("AWS_LAMBDA_FUNCTION_VERSION") or _text(registration.get("functionVersion"))
    memory_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    attributes: dict[str, Any] = {
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": environ.get("AWS_REGION", ""),
        "cloud.account.id": _text(registration.get("accountId")),
        "faas.name": name,
        "faas.version": version,
        "faas.max_memory": int(memory_mb) * _BYTES_PER_MB if _MEMORY_MB.fullmatch(memory_mb) else 0,
        "service.name": name,
    }
    known = {key: value for key, value in attributes.items() if value} | _set_by_user(environ, problems)
    # An environment variable may hold any bytes, and one invalid attribute would cost every span and metric.
    return Resource({escape_surrogates(key): escape_surrogates(value) for key, value in known.items()})


def _set_by_user(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Read OpenTelemetry's own variables. The SDK's detector would log every invalid entry, and not the variable.

    https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
    """
    attributes, wrong, undecodable = {}, list[int](), list[int]()
    for number, pair in enumerate(read_value(environ, _ATTRIBUTES).split(","), 1):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if equals and key:
            is_decodable = not _NO_ESCAPE.search(value) and "\ufffd" not in unquote(value)
            attributes[key] = unquote(value) if is_decodable else value
            undecodable += [] if is_decodable else [number]
        elif pair.strip():
            wrong.append(number)
    if wrong:
        reject(problems, _ATTRIBUTES, not_valid(wrong), "the other entries")
    if undecodable:
        reject(problems, _ATTRIBUTES, not_valid(undecodable, "percent-encoded"), "the value as it is")
    if name := read_value(environ, _SERVICE_NAME):
        attributes["service.name"] = name
    return attributes


class CurrentResource:
    """A resource with its encoding, shared by encoders. Attributes may be added when they become known."""

    __slots__ = ("_resource", "field", "is_identified")

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.is_identified = RESOURCE_ID in resource.attributes
        """Whether it contains the function's ARN."""
        self.field = encode_resource(resource)

    def add(self, attributes: Mapping[str, str]) -> None:
        """Add *attributes*, which replace those of the same name."""
        self._resource = self._resource.merge(Resource(dict(attributes)))
        self.field = encode_resource(self._resource)

    def name_instance(self, instance_id: str) -> None:
        """Add Lambda's id of the environment if it is the name of the log stream, as the conventions want it.

        Metrics do without it: each environment would be a time series of its own.
        https://opentelemetry.io/docs/specs/semconv/registry/attributes/faas/#faas-instance
        """
        if "/" in instance_id and "[" in instance_id:
            self.add({"faas.instance": instance_id})

    def identify(self, arn: str) -> dict[str, str]:
        """Add the function's ARN if it is not known yet; return what was added. *arn* is the one that was invoked.

        An alias is left out: it can be moved to another version while this environment runs.
        https://opentelemetry.io/docs/specs/semconv/registry/attributes/cloud/#cloud-resource-id
        """
        if not arn or self.is_identified:
            return {}
        self.is_identified = True
        version = self.text("faas.version")
        unqualified = ":".join(arn.split(":")[:_ARN_PARTS])
        known = {RESOURCE_ID: unqualified if version in ("", _UNPUBLISHED) else f"{unqualified}:{version}"}
        self.add(known)
        return known

    def has(self, name: str, value: Any) -> bool:
        """Return whether the attribute called *name* is *value*."""
        return bool(self._resource.attributes.get(name) == value)

    def text(self, name: str) -> str:
        """Return the attribute called *name* as text; empty if there is none."""
        return str(self._resource.attributes.get(name) or "")


def encode_resource(resource: Resource) -> bytes:
    """Return the fields resource and schema_url of a ResourceLogs, ResourceSpans or ResourceMetrics."""
    return field(_RESOURCE, _attributes.encode(resource.attributes)) + text_field(_SCHEMA_URL, SCHEMA_URL)


def encode_scope(name: str, version: str) -> bytes:
    """Return the fields scope and schema_url of a ScopeLogs, ScopeSpans or ScopeMetrics."""
    scope = text_field(_NAME, name) + text_field(_VERSION, version)
    return field(_SCOPE, scope) + text_field(_SCHEMA_URL, SCHEMA_URL)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
