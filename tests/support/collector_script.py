"""The steps of a FakeCollector's script, and its record of a request."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class When(Enum):
    """When a fault happens during a request. The head has always been read, because it selects the step."""

    BEFORE_BODY = auto()
    MID_BODY = auto()
    AFTER_BODY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Respond with *status*, and with *body* or the body that a real receiver would send.

    With 200 the request is accepted except its last *rejected* items; for metrics these are data points.
    *message* is sent in partial_success or in a google.rpc.Status.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    rejected: int = 0
    message: str = ""
    after_s: float = 0.0
    closes_silently: bool = False
    """Whether the connection is closed after the response without announcing it."""
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """Reset the connection, or end it with a FIN. With *accepts* only the response is lost."""

    when: When = When.AFTER_BODY
    resets: bool = True
    accepts: bool = False
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Wait until *until* is set, then go on as usual. Closing the collector sets it."""

    when: When = When.AFTER_BODY
    until: threading.Event = field(default_factory=threading.Event)
    accepts: bool = True
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endless:
    """Respond with a body that never ends: as fast as it is read, or one *piece* every *every_s*."""

    status: int = 200
    piece: bytes = b"\x00" * 65536
    every_s: float = 0.0
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Send these bytes instead of a response, and close the connection."""

    data: bytes
    path: str | None = None


Step = Response | HangUp | Hang | Endless | Raw

OK = Response()
DOWN = HangUp(when=When.BEFORE_BODY)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it was received. *status* is that of the response, None if there was none."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """Decompressed; if it was not read completely, what was read."""
    at_monotonic: float
    connection_number: int
    message: Any
    """The decoded Export…ServiceRequest; None if it was incomplete or cannot be decoded."""
    is_accepted: bool
    status: int | None
    rejected: int = 0
    wire_bytes: int = 0
