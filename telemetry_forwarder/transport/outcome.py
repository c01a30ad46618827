"""The outcome of one request: a response, or the reason why there is none."""

import zlib
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.errors import ForwarderError

MAX_BODY_BYTES = 65_536
"""How much of a response's body is read."""
_GZIP_OR_ZLIB = 47
KEPT_HEADERS = ("content-type", "date", "location", "retry-after")


class FailureKind(Enum):
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed out"
    BROKEN = "broken"
    """The connection ended before a response, or what was received is not HTTP."""
    UNTRUSTED = "untrusted"
    """TLS failed: another attempt would fail as well."""


class Cause(Enum):
    """Why a request failed, where the advice to the user depends on it."""

    OTHER = "other"
    REFUSED = "refused"
    LATE = "late"
    CLOSED = "closed"
    HTTP1 = "HTTP/1"
    """The server speaks HTTP/1 where HTTP/2 was expected."""
    NO_PROXY = "no proxy"
    """What should be a proxy is none."""
    LOGIN = "login"
    """The proxy wants a user and a password."""


class RequestError(ForwarderError):
    """Ends a request without a response: raised inside `transport`, and returned by it as a `Failure`."""

    def __init__(self, kind: FailureKind, detail: str, cause: Cause = Cause.OTHER) -> None:
        super().__init__(detail)
        self.kind = kind
        self.cause = cause


@frozen
class Failure:
    """No response. The endpoint may have accepted the request, unless the kind is UNREACHABLE or UNTRUSTED."""

    kind: FailureKind
    detail: str
    """Contains no secrets, unless a proxy wrote it."""
    cause: Cause = Cause.OTHER


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Those of `KEPT_HEADERS` that were sent."""
    body: bytes
    """At most `MAX_BODY_BYTES`."""
    is_whole: bool = True
    """Whether *body* is complete: shorter than that, received to its end, and not compressed any more."""
    is_foreign: bool = False
    """Whether it is certainly not from a receiver of the protocol that was used."""


def response_of(status: int, headers: Mapping[str, str], body: bytes, *, has_ended: bool = True) -> Response:
    """Return a response that keeps only those of *headers* that are used. *has_ended*: whether *body* did."""
    kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
    coding = headers.get("content-encoding", "").strip().lower()
    is_plain = coding in ("", "identity")
    if not is_plain:
        # Nobody asked for compression, but without a request for none it is allowed.
        body, is_plain = _decompressed(body)
    return Response(status, kept, body, has_ended and is_plain and len(body) < MAX_BODY_BYTES)


def _decompressed(body: bytes) -> tuple[bytes, bool]:
    """Return *body* without gzip or zlib, as far as that is possible, and whether it is whole."""
    reading = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        return reading.decompress(body, MAX_BODY_BYTES), reading.eof
    except zlib.error:
        return body, False
