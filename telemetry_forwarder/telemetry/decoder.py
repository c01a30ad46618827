"""Decodes the body of a post into records. Accepts any bytes, never raises; a malformed record costs only itself.

A post is a JSON array of events or, by TCP, one event per line. A body that orjson rejects is decoded event by event,
and records that Lambda has cut are joined.
"""

import re
from typing import Any

import orjson

from telemetry_forwarder.telemetry import envelopes
from telemetry_forwarder.telemetry.json_scanner import Status, scan
from telemetry_forwarder.telemetry.json_values import decode_text, may_have_lost_digits, read_json, write_json
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.reassembly import Fragment, Reassembler
from telemetry_forwarder.telemetry.records import LogLine, Malformed, Record
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

# Conversion stops after about this much, so that nobody waits for the rest of a post: 8 ms of a CPU at most.
SLICE_BYTES = 65_536
_STEPWISE_BYTES = SLICE_BYTES // 4
_LOG_TYPES = frozenset({"function", "extension"})
_MEMBERS = 3
# An event without a text has 65 bytes: `{"time":"2026-01-01T00:00:00.000Z","type":"function","record":""}`.
_LEAST_EVENT_BYTES = 64
_FEW_RECORDS = 1_000
_KNOWN_MEMBERS = frozenset({"time", "type", "record"})
# Lambda has sent reports whose `tracing` has no value.
_MISSING_VALUE = re.compile(rb'("tracing"\s*+:)(\s*+[},])')


class Decoder:
    """Decodes posts one after the other; between them it holds only incomplete records."""

    def __init__(self) -> None:
        self._reassembler = Reassembler()

    def decode(self, body: bytes, observed_ns: int) -> list[Record]:
        """Return the records of *body* in the order in which Lambda sent them.

        Anything that is not a record becomes a `Malformed` in its place. A record whose rest has not arrived is held.
        """
        records: list[Record] = []
        at = 0
        while at < len(body):
            part, at = self.decode_slice(body, observed_ns, at)
            records += part
        return records

    def decode_slice(self, body: bytes, observed_ns: int, at: int) -> tuple[list[Record], int]:
        """Return the next records of *body*, from *at* on, and where those that follow begin."""
        events, next_at = self.load_slice(body, at)
        if events is None:
            return self.decode_stepwise(body, observed_ns, at)
        if may_have_lost_digits(events):
            events = load_exactly(body, at)
        return [read_record(event, observed_ns) for event in events], next_at

    def load_slice(self, body: bytes, at: int = 0) -> tuple[list[Any] | None, int]:
        """Return the next events of *body*, from *at* on, for `read_record`, and where those that follow begin.

        None if only `decode_stepwise` can decode them: if they are not JSON, or may contain a part of a cut record.
        An integer beyond 64 bits is a float: see `may_have_lost_digits`.
        """
        if at and not body.startswith(b"["):
            # One event per line.
            return None, at
        part, end = _slice(body, at)
        try:
            events = orjson.loads(part)
        except ValueError:
            return None, at
        events = events if isinstance(events, list) else [events]
        if len(events) > _most_records(part):
            return None, at
        if self._reassembler.count or envelopes.may_contain_cut_record(part, len(events)):
            return None, at
        # The next event begins after the comma.
        return events, end + 1 if end < len(body) else end

    def peek(self, body: bytes, at: int) -> tuple[Any, int] | None:
        """Return the event of *body* at *at*, and where the next one begins; `load_slice` can begin at both places.

        None if there is none, or if only `decode_stepwise` can decode it. Nothing is held.
        """
        at = envelopes.skip_separators(body, at)
        end = envelopes.find_end_of_event(body, at)
        text = body[at:end]
        if self._reassembler.count or envelopes.may_contain_cut_record(text, 1):
            return None
        try:
            return orjson.loads(text), min(end + 1, len(body))
        except ValueError:
            return None

    def decode_stepwise(self, body: bytes, observed_ns: int, at: int = 0) -> tuple[list[Record], int]:
        """Return what `decode_slice` does, event by event and many times slower.

        Reads JSON, joins fragments, and keeps the rest as text.
        """
        records: list[Record] = []
        until = min(len(body), at + _STEPWISE_BYTES)
        left = (until - at) // _LEAST_EVENT_BYTES + (0 if at else _FEW_RECORDS)
        while (at := envelopes.skip_separators(body, at)) < until:
            status, end = scan(body, at)
            is_json = status is Status.COMPLETE
            envelope = envelopes.match_envelope(body, at)
            if envelope is not None and (not is_json or self._may_be_fragment(body, envelope, end)):
                fragment, end_of_fragment = _fragment(body, envelope, observed_ns)
                if not is_json or self._is_fragment(fragment, is_event=envelopes.is_boundary(body, end)):
                    records += map(_read_fragment, self._reassembler.add(fragment))
                    at = end_of_fragment
                    continue
            left -= 1
            if is_json and body[at : at + 1] == b"{" and (left > 0 or envelope is not None):
                records.append(_read_event_text(body[at:end], observed_ns))
            else:
                is_value = is_json and left > 0
                end = (
                    envelopes.find_end_of_value(body, at, end) if is_value else envelopes.find_end_of_garbage(body, at)
                )
                records.append(Malformed(observed_ns, decode_text(body[at:end])))
            at = end
        return records, at

    @property
    def incomplete_count(self) -> int:
        """The number of cut records whose rest has not arrived."""
        return self._reassembler.count

    def release(self, *, observed_before_ns: int | None = None) -> list[Record]:
        """Return the held fragments as text: all, or those first observed before a time."""
        return list(map(_read_fragment, self._reassembler.release(observed_before_ns=observed_before_ns)))

    def _may_be_fragment(self, body: bytes, envelope: envelopes.Envelope, end: int) -> bool:
        """Return whether JSON that ends at *end* needs a second look: a fragment may happen to be valid JSON."""
        return self._reassembler.holds(decode_text(envelope[2])) or not envelopes.is_boundary(body, end)

    def _is_fragment(self, fragment: Fragment, *, is_event: bool) -> bool:
        if not self._reassembler.accepts(fragment):
            return False
        # Lambda's records are strings and objects, and nothing follows them in their envelope.
        is_record = fragment.raw[:1] in (b'"', b"{") and scan(fragment.raw).end == len(fragment.raw)
        return not (is_event and is_record) or self._reassembler.ends_in_escape(fragment.type)


def load_exactly(body: bytes, at: int = 0) -> list[Any]:
    """Return the events of `load_slice` with all digits of their integers, many times slower."""
    events = read_json(_slice(body, at)[0])
    return events if isinstance(events, list) else [events]


def _slice(body: bytes, at: int) -> tuple[bytes, int]:
    """Return the slice of *body* that begins at *at*, as JSON, and where it ends."""
    end = envelopes.find_end_of_slice(body, at + SLICE_BYTES)
    if not at and end == len(body):
        return body, end
    # A boundary within a record leaves brackets open, so that the slice is no JSON.
    return b"".join([b"[" if at else b"", body[at:end], b"]" if end < len(body) else b""]), end


def _most_records(body: bytes) -> int:
    """Return how many records a post of that size can contain; more would need a multiple of its memory.

    What follows is one record, up to the next envelope.
    """
    return _FEW_RECORDS + len(body) // _LEAST_EVENT_BYTES


def read_record(event: Any, observed_ns: int) -> Record:
    """Return the record of one member of a post, which may be any JSON value."""
    try:
        type_ = event["type"]
        if type_ in _LOG_TYPES and len(event) == _MEMBERS and (time_ns := parse_time_ns(event["time"])):
            return LogLine(type_, time_ns, event["record"], observed_ns)
    except (KeyError, TypeError):
        pass  # A member is missing, or it is not an object: read below.
    return _read_unusual(event, observed_ns)


def _read_unusual(event: Any, observed_ns: int) -> Record:
    """Read a platform event, or a value that is not a valid event."""
    if not isinstance(event, dict):
        return Malformed(observed_ns, write_json(event))
    type_, time = event.get("type"), event.get("time")
    time_ns = parse_time_ns(time)
    if not isinstance(type_, str) or not type_:
        return read_event("", event, time_ns=time_ns, observed_ns=observed_ns)
    extra = {key: value for key, value in event.items() if key not in _KNOWN_MEMBERS}
    if time and not time_ns:
        extra["time"] = time
    record = event.get("record")
    if type_ in _LOG_TYPES:
        return LogLine(type_, time_ns, record, observed_ns, extra or None)
    return read_event(type_, record, time_ns=time_ns, observed_ns=observed_ns, extra=extra or None)


def _fragment(body: bytes, envelope: envelopes.Envelope, observed_ns: int) -> tuple[Fragment, int]:
    """Return what is between *envelope* and the next one, and where that begins."""
    begin = envelope.end()
    end_and_next = envelopes.find_next_envelope(body, begin)
    raw = body[begin : end_and_next[0]] if end_and_next else envelopes.strip_frame(body[begin:])
    time, type_ = decode_text(envelope[1]), decode_text(envelope[2])
    if type_.startswith("platform."):
        raw = _MISSING_VALUE.sub(rb"\1null\2", raw)
    fragment = Fragment(type=type_, time=time, raw=raw, observed_ns=observed_ns)
    return fragment, end_and_next[1] if end_and_next else len(body)


def _read_fragment(fragment: Fragment) -> Record:
    record = read_json(fragment.raw) if fragment.is_complete else decode_text(fragment.raw)
    return read_record({"time": fragment.time, "type": fragment.type, "record": record}, fragment.observed_ns)


def _read_event_text(text: bytes, observed_ns: int) -> Record:
    """Read the text of an event, which is JSON at least in its brackets and quotes."""
    event = read_json(text)
    if isinstance(event, str):
        return Malformed(observed_ns, decode_text(text))
    if fragments := envelopes.split_cut_record(text):
        event["record"] = read_json(b"".join(fragments))
    return read_record(event, observed_ns)
