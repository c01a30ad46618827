"""The subscribe request of the Telemetry API, validated as AWS does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from .destination import Address
from .extensions_api import identified
from .server import Reply, Request, Route
from .subscriber import Subscription

if TYPE_CHECKING:
    from .sandbox import Sandbox

NEWEST_SCHEMA = "2025-01-29"
_SCHEMAS = ("2022-07-01", "2022-12-13", NEWEST_SCHEMA)
_TYPES = ("platform", "function", "extension")
_HOSTS = ("sandbox", "sandbox.localdomain")
# member: lowest, highest, default
_BUFFERING = {
    "maxItems": (1_000, 10_000, 10_000),
    "maxBytes": (262_144, 1_048_576, 262_144),
    "timeoutMs": (25, 30_000, 1_000),
}


class _InvalidError(Exception):
    """A field of the request that AWS rejects."""


class TelemetryApi:
    """The one route. Subscriptions are stored in the sandbox's telemetry."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [("PUT", re.compile("/2022-07-01/telemetry"), self._subscribe)]

    def _subscribe(self, request: Request) -> Reply:
        sandbox = self._sandbox
        with sandbox.changed:
            extension = identified(sandbox, request)
            if isinstance(extension, Reply):
                return extension
            if sandbox.settings.telemetry == "unsupported":
                return Reply.error(202, "Telemetry.NotSupported", "Telemetry API is not supported")
            if extension.has_called_next or sandbox.is_init_done:
                return Reply.error(403, "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed already")
        try:
            subscription = self._parse(request.body)
        except _InvalidError as invalid:
            return Reply.error(400, "ValidationError", str(invalid))
        if sandbox.telemetry.is_subscribed(extension.name):
            return Reply.error(500, "InternalServerError", "subscriber already exists")
        sandbox.telemetry.subscribe(extension.name, subscription)
        return Reply(200, "OK")

    def _parse(self, raw: bytes) -> Subscription:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise _InvalidError("request body is not a JSON object")
        settings = self._sandbox.settings
        schema = body.get("schemaVersion")
        schemas = (NEWEST_SCHEMA,) if settings.is_managed else _SCHEMAS
        if (
            not isinstance(schema, str)
            or schema not in schemas
            or (schema == NEWEST_SCHEMA and not settings.newest_schema)
        ):
            raise _InvalidError(f"schemaVersion: {schema!r} is not a valid version")
        types = body.get("types")
        if not isinstance(types, list) or not types or not all(kind in _TYPES for kind in types):
            raise _InvalidError(f"types: must be one or more of {', '.join(_TYPES)}")
        items, size, timeout_ms = _buffering(body.get("buffering", {}))
        return Subscription(schema, _address(body.get("destination")), tuple(types), items, size, timeout_ms / 1000)


def _buffering(buffering: Any) -> list[int]:
    if not isinstance(buffering, dict):
        raise _InvalidError("buffering: must be an object")
    if unknown := buffering.keys() - _BUFFERING.keys():
        raise _InvalidError(f"buffering: unknown member {', '.join(sorted(unknown))}")
    values = []
    for name, (lowest, highest, default) in _BUFFERING.items():
        value = buffering.get(name, default)
        if type(value) is not int or not lowest <= value <= highest:
            raise _InvalidError(f"buffering.{name}: {value!r} is not between {lowest} and {highest}")
        values.append(value)
    return values


def _address(destination: Any) -> Address:
    if not isinstance(destination, dict):
        raise _InvalidError("destination: is required")
    match destination.get("protocol"):
        case "TCP":
            port = destination.get("port")
            if type(port) is not int or not 1 <= port <= 65_535:
                raise _InvalidError(f"destination.port: {port!r} is not a port")
            return Address("TCP", port)
        case "HTTP":
            return _http_address(destination.get("URI"))
        case other:
            raise _InvalidError(f"destination.protocol: {other!r} is not HTTP or TCP")


def _http_address(uri: Any) -> Address:
    if not isinstance(uri, str):
        raise _InvalidError("destination.URI: is required")
    try:
        parts = urlsplit(uri)
        is_sandbox = parts.scheme == "http" and parts.hostname in _HOSTS and parts.port not in (None, 0, 9001)
    except ValueError:
        is_sandbox = False
    if not is_sandbox:
        raise _InvalidError(f"destination.URI: {uri!r} is not http://sandbox.localdomain:PORT")
    return Address.of_uri(uri)
