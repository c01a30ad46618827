"""Turns what happens into events and sends them to the subscribers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from .clock import SandboxClock, iso
from .destination import Address
from .observations import Event, Observations
from .settings import Settings
from .subscriber import Fragment, Subscriber, Subscription


class _Emitted(NamedTuple):
    category: str
    event: Event
    line: str | None
    """The printed line: the record of the first schema."""


class Telemetry:
    """The event bus of one sandbox. Events of init are replayed to new subscribers."""

    def __init__(self, settings: Settings, clock: SandboxClock, observed: Observations) -> None:
        self._settings, self._clock, self._observed = settings, clock, observed
        self._lock = threading.RLock()
        self._replay: list[_Emitted] | None = []
        self._subscribers: dict[str, Subscriber] = {}
        self.shift_ns = 0
        """Added to the time of every event: the init of a snapshot is in the past."""
        if settings.observer_port:
            address = Address("HTTP", settings.observer_port)
            types = ("platform", "function", "extension")
            self.subscribe("observer", Subscription("2025-01-29", address, types, max_bytes=1_048_576, timeout_s=0.025))

    def platform(self, kind: str, record: dict[str, Any], at_ns: int | None = None) -> Event:
        """Emit a platform event, e.g. ``initStart``."""
        return self._emit("platform", f"platform.{kind}", [(record, None)], at_ns)[0]

    def function(self, lines: Sequence[str], at_ns: int | None = None) -> None:
        """Emit records that the function printed."""
        self._observed.add("function_output", *lines)
        self._emit("function", "function", [(self._parsed(line, at_ns), line) for line in lines], at_ns)

    def extension(self, lines: Sequence[str], at_ns: int | None = None) -> None:
        """Emit lines that an extension printed."""
        self._observed.add("extension_output", *lines)
        self._emit("extension", "extension", [(self._parsed(line, at_ns), line) for line in lines], at_ns)

    def subscribe(self, name: str, subscription: Subscription) -> None:
        with self._lock:
            subscriber = Subscriber(
                name,
                subscription,
                settings=self._settings,
                clock=self._clock,
                observed=self._observed,
                announce=self._announce,
            )
            self._subscribers[name] = subscriber
            for emitted in self._replay or ():
                self._offer(subscriber, [emitted])
            record = {"name": name, "state": "Subscribed", "types": list(subscription.types)}
            self.platform("telemetrySubscription", record)

    def is_subscribed(self, name: str) -> bool:
        return name in self._subscribers

    def end_of_init(self) -> None:
        """Stop replaying events to new subscribers."""
        with self._lock:
            self._replay = None

    def flush(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.flush()

    def wake(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.wake()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until every subscriber has received everything; return whether it has."""
        deadline_s = time.monotonic() + timeout_s
        subscribers = list(self._subscribers.values())
        return all(subscriber.wait_until_idle(deadline_s - time.monotonic()) for subscriber in subscribers)

    def close(self, name: str | None = None) -> None:
        """End the subscription of *name*, or all."""
        for subscriber in list(self._subscribers.values()):
            if name in (None, subscriber.name):
                subscriber.close()

    def _emit(
        self, category: str, kind: str, records: Sequence[tuple[Any, str | None]], at_ns: int | None
    ) -> list[Event]:
        with self._lock:
            at = iso((time.time_ns() if at_ns is None else at_ns) + self.shift_ns)
            events = [{"time": at, "type": kind, "record": record} for record, _ in records]
            emitted = [_Emitted(category, event, line) for event, (_, line) in zip(events, records, strict=True)]
            self._observed.add("emitted", *events)
            if self._replay is not None:
                self._replay += emitted
            for subscriber in self._subscribers.values():
                self._offer(subscriber, emitted)
            return events

    def _announce(self, kind: str, record: Event) -> Event:
        event = {"time": iso(time.time_ns() + self.shift_ns), "type": kind, "record": record}
        self._observed.add("emitted", event)
        return event

    def _offer(self, subscriber: Subscriber, emitted: Sequence[_Emitted]) -> None:
        """Pass on events of one category."""
        if emitted and subscriber.accepts(emitted[0].category):
            events = [each.event for each in emitted]
            if subscriber.subscription.schema == "2022-07-01":
                events = [
                    {**each.event, "record": each.event["record"] if each.line is None else each.line}
                    for each in emitted
                ]
            subscriber.add([fragments_of(event, self._settings) for event in events])

    def _parsed(self, line: str, at_ns: int | None) -> Any:
        """Return the record of a printed line: with the JSON log format always an object."""
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


def fragments_of(event: Event, settings: Settings) -> list[Fragment]:
    """Return the event as it is sent: whole, or cut within a value as Lambda cuts long records.

    Every piece repeats the envelope and holds raw bytes of the record where a value should be.
    """
    if settings.cut is None or event["type"] not in ("function", "extension"):
        return [Fragment(orjson.dumps(event), event)]
    record = orjson.dumps(event["record"])
    limit = settings.cut_bytes
    if len(record) <= limit:
        return [Fragment(orjson.dumps(event), event)]
    envelope = b'{"time":"%b","type":"%b","record":' % (event["time"].encode(), event["type"].encode())
    fragments = []
    while record:
        end = min(limit, len(record))
        while end < len(record) and record[end] & 0xC0 == 0x80:
            end -= 1
        part, record = record[:end], record[end:]
        is_last = not record
        fragments.append(
            Fragment(
                envelope + part + b"}", event if is_last else None, ends_batch=settings.cut == "across" and not is_last
            )
        )
    return fragments
