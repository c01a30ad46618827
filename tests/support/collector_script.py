"""What a FakeCollector may be told to do with a request, and what it tells of one."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class When(Enum):
    """Where in a request a fault strikes. The head has always been read: it says whose turn it is."""

    BEFORE_BODY = auto()
    MID_BODY = auto()
    AFTER_BODY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Say *status*, with the body that a real receiver would send unless *body* is given.

    A 200 accepts the request but for its last *rejected* items; of a metric these are data points.
    *message* goes into partial_success or into a google.rpc.Status.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    rejected: int = 0
    message: str = ""
    after_s: float = 0.0
    closes_silently: bool = False
    """Keep-alive is promised, and the connection closed behind the answer."""
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """Reset the connection, or end it with a FIN. *accepts*: only the acknowledgement is lost."""

    when: When = When.AFTER_BODY
    resets: bool = True
    accepts: bool = False
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Say nothing until *until* is set, then go on as if nothing had been; closing the collector sets it."""

    when: When = When.AFTER_BODY
    until: threading.Event = field(default_factory=threading.Event)
    accepts: bool = True
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endless:
    """Answer with a body that never ends: as fast as it is read, or one *piece* every *every_s*."""

    status: int = 200
    piece: bytes = b"\x00" * 65536
    every_s: float = 0.0
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Send these bytes instead of an HTTP response, and close."""

    data: bytes
    path: str | None = None


Step = Response | HangUp | Hang | Endless | Raw

OK = Response()
DOWN = HangUp(when=When.BEFORE_BODY)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. *status* is what was answered, None where nothing was."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """Without its compression; what was read of it, where that was not all."""
    at_monotonic: float
    connection_number: int
    message: Any
    """The decoded Export…ServiceRequest; None where it was not read whole or does not decode."""
    is_accepted: bool
    status: int | None
    rejected: int = 0
    wire_bytes: int = 0
