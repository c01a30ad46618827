"""Bytes of a post -> records. Takes anything, never raises; one bad record costs only itself.

A post is a JSON array of events, or by TCP one event a line. What orjson does not take is walked through event by
event, and what Lambda has cut is stitched.
"""

import json
import re
from collections.abc import Generator, Iterator
from typing import Any

import orjson

from telemetry_forwarder.json_prefix import Shape, measure
from telemetry_forwarder.platform_events import read_event
from telemetry_forwarder.records import LogLine, Malformed, Record
from telemetry_forwarder.stitching import Piece, Stitcher
from telemetry_forwarder.timestamps import time_ns

_ENVELOPE = re.compile(rb'\{\s*"time"\s*:\s*"([^"]*)"\s*,\s*"type"\s*:\s*"([^"]*)"\s*,\s*"record"\s*:\s*')
_NEXT_EVENT = re.compile(rb"\}\s*,?\s*(?=%s)" % _ENVELOPE.pattern)
_BETWEEN_EVENTS = re.compile(rb"[\s,]*")
_LOG_TYPES = frozenset({"function", "extension"})
# Seen in the wild: a report whose `tracing` has a name and no value.
_MISSING_VALUE = re.compile(rb'("tracing"\s*:)(\s*[},])')


class Decoder:
    """Remembers only what is needed to join cut records."""

    def __init__(self) -> None:
        self._stitcher = Stitcher()

    def decode(self, body: bytes, observed_ns: int) -> list[Record]:
        """The records of *body*, in the order in which Lambda sent them.

        Whatever is no record is a `Malformed`, in its place. A record whose rest has not come is held.
        """
        try:
            events = orjson.loads(body)
        except ValueError:
            return list(self._walk(body, observed_ns))
        return list(_records(events, observed_ns))

    @property
    def held(self) -> int:
        """Cut records whose rest has not come."""
        return self._stitcher.held

    def give_up(self, *, observed_before_ns: int | None = None) -> list[Record]:
        """The held fragments as text: all, or those that have waited since before a moment."""
        pieces = self._stitcher.give_up(observed_before_ns=observed_before_ns)
        return [_record_of(piece) for piece in pieces]

    def _walk(self, body: bytes, observed_ns: int) -> Iterator[Record]:
        """Event by event: what is JSON is read, what Lambda has cut is stitched, the rest is kept as text."""
        at = len(body) - len(body.lstrip(b" \t\r\n["))
        while (at := _BETWEEN_EVENTS.match(body, at).end()) < len(body):  # type: ignore[union-attr]
            shape, end = measure(body, at)
            envelope = None
            if shape is Shape.WHOLE and body[end : end + 64].lstrip()[:1] in b",]{":
                yield from _records_of_text(body[at:end], observed_ns)
            elif (envelope := _ENVELOPE.match(body, at)) is not None:
                end = yield from self._stitch(body, envelope, observed_ns)
            elif body[at:].strip() == b"]":
                return
            else:
                end = _end_of_garbage(body, at)
                yield Malformed(observed_ns, _text(body[at:end]))
            at = end

    def _stitch(
        self, body: bytes, envelope: re.Match[bytes], observed_ns: int
    ) -> Generator[Record, None, int]:
        """Returns where the next event begins."""
        following = _NEXT_EVENT.search(body, envelope.end())
        raw = body[envelope.end() : following.start()] if following else _unframed(body[envelope.end() :])
        time, type_ = _text(envelope[1]), _text(envelope[2])
        if type_.startswith("platform."):
            raw = _MISSING_VALUE.sub(rb"\1null\2", raw)
        for piece in self._stitcher.add(Piece(type_, time, raw, observed_ns)):
            yield _record_of(piece)
        return following.end() if following else len(body)


def _records(events: Any, observed_ns: int) -> Iterator[Record]:
    if not isinstance(events, list):
        events = [events]
    for event in events:
        try:
            type_ = event["type"]
            if type_ in _LOG_TYPES:
                yield LogLine(type_, time_ns(event["time"]), observed_ns, event["record"])
                continue
        except (KeyError, TypeError):
            pass  # Something is missing, or it is no object at all: read below with more patience.
        yield _odd_record(event, observed_ns)


def _odd_record(event: Any, observed_ns: int) -> Record:
    """Platform events, and what has not the shape of an event."""
    if not isinstance(event, dict):
        return Malformed(observed_ns, _json_text(event))
    type_ = event.get("type")
    if isinstance(type_, str) and type_ in _LOG_TYPES:
        return LogLine(type_, time_ns(event.get("time")), observed_ns, event.get("record"))
    if not isinstance(type_, str) or not type_:
        return read_event("", time_ns(event.get("time")), observed_ns, event)
    return read_event(type_, time_ns(event.get("time")), observed_ns, event.get("record"))


def _record_of(piece: Piece) -> Record:
    record = _lenient_json(piece.raw.rstrip(b" \t\r\n")) if piece.is_whole else _text(piece.raw)
    return _odd_record({"time": piece.time, "type": piece.type, "record": record}, piece.observed_ns)


def _records_of_text(text: bytes, observed_ns: int) -> Iterator[Record]:
    event = _lenient_json(text)
    if isinstance(event, str) and not text.startswith(b'"'):
        return iter([Malformed(observed_ns, event)])
    return _records(event, observed_ns)


def _lenient_json(text: bytes) -> Any:
    """What *text* says; itself, as a str, if that cannot be found out."""
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        # Takes what orjson does not: NaN and Infinity, lone surrogates, control characters in strings.
        value, _ = json.JSONDecoder(strict=False).raw_decode(_text(text))
    except (ValueError, RecursionError):
        return _text(text)
    return value


def _unframed(rest: bytes) -> bytes:
    """*rest* of the body without the end of the envelope and of the array."""
    rest = rest.rstrip(b" \t\r\n")
    return rest.removesuffix(b"]").removesuffix(b"}")


def _end_of_garbage(body: bytes, at: int) -> int:
    envelope = _ENVELOPE.search(body, at + 1)
    return envelope.start() if envelope else len(body)


def _json_text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):
        return repr(value)


def _text(raw: bytes) -> str:
    # Not "replace": an invalid byte is kept as \xNN rather than lost.
    return raw.decode("utf-8", "backslashreplace")
