"""Bytes of a post -> records. Takes anything, never raises; one bad record costs only itself.

A post is a JSON array of events, or by TCP one event a line. What orjson does not take is walked through event by
event, and what Lambda has cut is stitched.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from telemetry_forwarder.telemetry.envelopes import (
    Envelope,
    end_of_garbage,
    envelope_at,
    is_boundary,
    may_hide_a_cut,
    next_envelope,
    pieces_within,
    skip_separators,
    unframed,
)
from telemetry_forwarder.telemetry.json_scanner import Shape, measure
from telemetry_forwarder.telemetry.json_values import json_text, read_json, text_of
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.reassembly import Piece, Reassembler
from telemetry_forwarder.telemetry.records import LogLine, Malformed, Record
from telemetry_forwarder.telemetry.timestamps import time_ns

_LOG_TYPES = frozenset({"function", "extension"})
_MEMBERS = 3
_KNOWN_MEMBERS = frozenset({"time", "type", "record"})
# Seen in the wild: a report whose `tracing` has a name and no value.
_MISSING_VALUE = re.compile(rb'("tracing"\s*+:)(\s*+[},])')


class Decoder:
    """Remembers only what is needed to join cut records."""

    def __init__(self) -> None:
        self._reassembler = Reassembler()

    def decode(self, body: bytes, observed_ns: int) -> list[Record]:
        """The records of *body*, in the order in which Lambda sent them.

        Whatever is no record is a `Malformed`, in its place. A record whose rest has not come is held.
        """
        events = self.plain_events(body)
        return list(self.walk(body, observed_ns)) if events is None else _records(events, observed_ns)

    def plain_events(self, body: bytes) -> list[Any] | None:
        """What *body* holds, for `record_of`; None where it is no JSON or may hide a cut: then it wants a `walk`."""
        try:
            events = orjson.loads(body)
        except ValueError:
            return None
        events = events if isinstance(events, list) else [events]
        return None if self._reassembler.held or may_hide_a_cut(body, len(events)) else events

    def walk(self, body: bytes, observed_ns: int) -> Iterator[Record]:
        """What `decode` says, of any post, at many times the price.

        Event by event: what is JSON is read, what Lambda has cut is stitched, the rest is kept as text.
        """
        at = 0
        while (at := skip_separators(body, at)) < len(body):
            shape, end = measure(body, at)
            envelope = envelope_at(body, at)
            if envelope is not None and (shape is not Shape.WHOLE or self._may_be_piece(body, envelope, end)):
                piece, end_of_piece = _piece(body, envelope, observed_ns)
                if shape is not Shape.WHOLE or self._is_piece(piece, is_event=is_boundary(body, end)):
                    yield from map(_record_of, self._reassembler.add(piece))
                    at = end_of_piece
                    continue
            if shape is Shape.WHOLE and body[at : at + 1] == b"{":
                yield from _records_of_json(body[at:end], observed_ns)
            else:
                end = min(end_of_garbage(body, at), end if shape is Shape.WHOLE else len(body))
                yield Malformed(observed_ns, text_of(body[at:end]))
            at = end

    @property
    def held(self) -> int:
        """Cut records whose rest has not come."""
        return self._reassembler.held

    def give_up(self, *, observed_before_ns: int | None = None) -> list[Record]:
        """The held fragments as text: all, or those that have waited since before a moment."""
        pieces = self._reassembler.give_up(observed_before_ns=observed_before_ns)
        return [_record_of(piece) for piece in pieces]

    def _may_be_piece(self, body: bytes, envelope: Envelope, end: int) -> bool:
        """Whether what is JSON up to *end* needs a second look: a cut record's piece may happen to be JSON."""
        return self._reassembler.holds(text_of(envelope[2])) or not is_boundary(body, end)

    def _is_piece(self, piece: Piece, *, is_event: bool) -> bool:
        if not self._reassembler.fits(piece):
            return False
        # Lambda's records are strings and objects, and nothing stands behind them in their envelope.
        is_record = piece.raw[:1] in (b'"', b"{") and measure(piece.raw).end == len(piece.raw)
        return not (is_event and is_record) or self._reassembler.needs_next(piece.type)


def _records(events: list[Any], observed_ns: int) -> list[Record]:
    return [record_of(event, observed_ns) for event in events]


def record_of(event: Any, observed_ns: int) -> Record:
    """What a member of a post says: an event, or anything else."""
    try:
        type_ = event["type"]
        if type_ in _LOG_TYPES and len(event) == _MEMBERS and (at_ns := time_ns(event["time"])):
            return LogLine(type_, at_ns, observed_ns, event["record"])
    except (KeyError, TypeError):
        pass  # Something is missing, or it is no object at all: read below with more patience.
    return _other_record(event, observed_ns)


def _other_record(event: Any, observed_ns: int) -> Record:
    """Platform events, and what has not the shape of an event."""
    if not isinstance(event, dict):
        return Malformed(observed_ns, json_text(event))
    type_, time = event.get("type"), event.get("time")
    at_ns = time_ns(time)
    if not isinstance(type_, str) or not type_:
        return read_event("", at_ns, observed_ns, event)
    extra = {key: value for key, value in event.items() if key not in _KNOWN_MEMBERS}
    if time and not at_ns:
        extra["time"] = time
    if type_ in _LOG_TYPES:
        return LogLine(type_, at_ns, observed_ns, event.get("record"), extra or None)
    return read_event(type_, at_ns, observed_ns, event.get("record"), extra or None)


def _piece(body: bytes, envelope: Envelope, observed_ns: int) -> tuple[Piece, int]:
    """What is in *envelope* up to the next one, and where that begins."""
    begin = envelope.end()
    end_and_next = next_envelope(body, begin)
    raw = body[begin : end_and_next[0]] if end_and_next else unframed(body[begin:])
    time, type_ = text_of(envelope[1]), text_of(envelope[2])
    if type_.startswith("platform."):
        raw = _MISSING_VALUE.sub(rb"\1null\2", raw)
    return Piece(type_, time, raw, observed_ns), end_and_next[1] if end_and_next else len(body)


def _record_of(piece: Piece) -> Record:
    record = read_json(piece.raw) if piece.is_whole else text_of(piece.raw)
    return record_of({"time": piece.time, "type": piece.type, "record": record}, piece.observed_ns)


def _records_of_json(text: bytes, observed_ns: int) -> list[Record]:
    """The record of an event that is JSON, at least as far as brackets and quotes go."""
    event = read_json(text)
    if isinstance(event, str):
        return [Malformed(observed_ns, text_of(text))]
    if cut := pieces_within(text):
        event["record"] = read_json(b"".join(cut))
    return _records([event], observed_ns)
