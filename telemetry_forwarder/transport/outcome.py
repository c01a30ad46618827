"""What may come back from an endpoint, or fail to."""

from collections.abc import Mapping
from enum import Enum

from telemetry_forwarder.core.frozen import frozen

LONGEST_BODY = 65_536
"""Bytes of an answer's body that are read."""
KEPT_HEADERS = ("content-type", "retry-after", "location")
"""All of an answer's headers that concern us."""


class FailureKind(Enum):
    """Why there is no answer."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed out"
    BROKEN = "broken"
    """The connection ended before an answer, or what came is not HTTP."""
    UNTRUSTED = "untrusted"
    """TLS: the next try would fail as well."""


@frozen
class Failure:
    """No answer came. Whether the endpoint took the request is unknown, but for UNREACHABLE and UNTRUSTED."""

    kind: FailureKind
    detail: str
    """Of us without secrets; of a proxy or over gRPC it may be the other side's words."""


@frozen
class Response:
    """What the endpoint said."""

    status: int
    headers: Mapping[str, str]
    """Of all headers content-type, retry-after and location, where they were sent."""
    body: bytes
    """At most 64 KiB; what has been read of it, where it did not end in time."""
