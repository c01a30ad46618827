"""Everything that happens becomes an event here and goes to each extension that asked for it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import orjson

from .clock import SandboxClock, iso
from .observations import Event, Observations
from .settings import Settings
from .subscriber import Piece, Subscriber, Subscription


@dataclass(frozen=True, slots=True)
class _Emitted:
    category: str
    event: Event
    line: str | None
    """What a function or extension really printed: all that the first schema knows."""


class Telemetry:
    """The event bus of one sandbox. Events before the end of init are replayed to new subscribers."""

    def __init__(self, settings: Settings, clock: SandboxClock, seen: Observations) -> None:
        self._settings, self._clock, self._seen = settings, clock, seen
        self._lock = threading.RLock()
        self._replay: list[_Emitted] | None = []
        self._subscribers: dict[str, Subscriber] = {}
        self.shift_ns = 0
        """Added to the time of every event: how a snapshot's init comes to lie in the past."""

    def platform(self, kind: str, record: dict[str, Any], at_ns: int | None = None) -> Event:
        """A platform event, e.g. ``initStart``."""
        return self._emit("platform", f"platform.{kind}", record, None, at_ns)

    def function(self, line: str, at_ns: int | None = None) -> None:
        """A record that the function printed."""
        self._seen.note("function_output", line)
        self._emit("function", "function", self._parsed(line, at_ns), line, at_ns)

    def extension(self, line: str, at_ns: int | None = None) -> None:
        """A line that an extension printed."""
        self._seen.note("extension_output", line)
        self._emit("extension", "extension", self._parsed(line, at_ns), line, at_ns)

    def subscribe(self, name: str, subscription: Subscription) -> None:
        with self._lock:
            subscriber = Subscriber(
                name,
                subscription,
                settings=self._settings,
                clock=self._clock,
                seen=self._seen,
                announce=self._announce,
            )
            self._subscribers[name] = subscriber
            for emitted in self._replay or ():
                self._give(subscriber, emitted)
            record = {"name": name, "state": "Subscribed", "types": list(subscription.types)}
            self.platform("telemetrySubscription", record)

    def is_subscribed(self, name: str) -> bool:
        return name in self._subscribers

    def end_of_init(self) -> None:
        """No replay any more."""
        with self._lock:
            self._replay = None

    def flush(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.flush()

    def wake(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.wake()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """True when every subscriber has everything."""
        ends_s = time.monotonic() + timeout_s
        subscribers = list(self._subscribers.values())
        return all(subscriber.wait_until_idle(ends_s - time.monotonic()) for subscriber in subscribers)

    def close(self, name: str | None = None) -> None:
        """End the subscription of *name*, or of all."""
        for subscriber in list(self._subscribers.values()):
            if name in (None, subscriber.name):
                subscriber.close()

    def _emit(self, category: str, kind: str, record: Any, line: str | None, at_ns: int | None) -> Event:
        with self._lock:
            at_ns = (time.time_ns() if at_ns is None else at_ns) + self.shift_ns
            emitted = _Emitted(category, {"time": iso(at_ns), "type": kind, "record": record}, line)
            self._seen.note("emitted", emitted.event)
            if self._replay is not None:
                self._replay.append(emitted)
            for subscriber in self._subscribers.values():
                self._give(subscriber, emitted)
            return emitted.event

    def _announce(self, kind: str, record: Event) -> Event:
        event = {"time": iso(time.time_ns() + self.shift_ns), "type": kind, "record": record}
        self._seen.note("emitted", event)
        return event

    def _give(self, subscriber: Subscriber, emitted: _Emitted) -> None:
        if subscriber.wants(emitted.category):
            event = emitted.event
            if emitted.line is not None and subscriber.subscription.schema == "2022-07-01":
                event = {**event, "record": emitted.line}
            subscriber.take(pieces_of(event, self._settings))

    def _parsed(self, line: str, at_ns: int | None) -> Any:
        """The record of a printed line: with the JSON log format an object, whatever was printed."""
        if not self._settings.is_json:
            return line
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record = None
        if isinstance(record, dict):
            return record
        at = iso((time.time_ns() if at_ns is None else at_ns) + self.shift_ns)
        return {"timestamp": at, "level": "INFO", "message": line}


def pieces_of(event: Event, settings: Settings) -> list[Piece]:
    """The event as it travels: whole, or cut in mid-value the way Lambda cuts long records.

    Every piece repeats the envelope and holds raw bytes of the record where a value should be.
    """
    record = orjson.dumps(event["record"])
    limit = settings.cut_bytes
    if settings.cut is None or len(record) <= limit or event["type"] not in ("function", "extension"):
        return [Piece(orjson.dumps(event), event)]
    envelope = b'{"time":"%b","type":"%b","record":' % (event["time"].encode(), event["type"].encode())
    pieces = []
    while record:
        end = min(limit, len(record))
        while end < len(record) and record[end] & 0xC0 == 0x80:
            end -= 1
        part, record = record[:end], record[end:]
        is_last = not record
        pieces.append(
            Piece(
                envelope + part + b"}",
                event if is_last else None,
                ends_batch=settings.cut == "across" and not is_last,
            )
        )
    return pieces
