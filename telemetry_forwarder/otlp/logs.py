"""Log lines and platform events -> OTLP log records. Pure; never raises on anything that Lambda says.

This is the hot path, so a record's bytes are joined from parts: what is the same for many records (severity, ids,
the invocation) is a message of opentelemetry-proto that is serialized once and kept, and only time, body and own
attributes are written for each. https://opentelemetry.io/docs/specs/otel/logs/data-model/
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.batch import LOGS, Batch
from telemetry_forwarder.invocation import Invocation
from telemetry_forwarder.line import REQUEST_ID, Line, believed
from telemetry_forwarder.otlp.common import OfResource, clean, key_values, scope_field
from telemetry_forwarder.otlp.platform_attributes import (
    WARN,
    envelope_attributes,
    platform_attributes,
    severity,
)
from telemetry_forwarder.otlp.wire import any_value, attribute, encoded, utf8, varint
from telemetry_forwarder.records import Event, LogLine, Malformed

# One scope per source: a backend shows it, and it costs nothing per record.
SCOPES = {
    "function": "aws.lambda.function",
    "extension": "aws.lambda.extension",
    "platform": "aws.lambda.platform",
}

_SEVERITY_TEXTS = {9: "INFO", 5: "DEBUG", 13: "WARN"}
_LAST_INDEX = 999_999
# Lines come nearly in order: an index is wanted for the milliseconds just past.
_MOST_INDEXES = 1_024
# Severities and invocations of one post are few.
_MOST_ALIKE = 1_024

# Tags of the fields that are written by hand: number and wire type.
# https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto
_RESOURCE_LOGS, _SCOPE_LOGS, _RECORD = b"\x0a", b"\x12", b"\x12"
_TIME, _OBSERVED, _BODY, _STRING, _ATTRIBUTE = b"\x09", b"\x59", b"\x2a", b"\x0a", b"\x32"
_times = struct.Struct("<cQcQ").pack
_TIMES_BYTES = 18
# At most: resource and scope for each request.
_FRAME_BYTES = 8_192


class _Alike(NamedTuple):
    """What is the same for many records."""

    severity_number: int
    severity_text: str
    trace_id: str = ""
    span_id: str = ""
    request_id: str = ""
    tenant_id: str = ""
    event_name: str = ""


class LogEncoder(OfResource):
    """Gathers log records until `take`."""

    def __init__(self, resource: Resource, version: str, *, batch_bytes: int, batch_items: int) -> None:
        super().__init__(resource)
        self._batch_bytes = batch_bytes
        self._batch_items = batch_items
        self._scopes = {origin: scope_field(name, version) for origin, name in SCOPES.items()}
        self._records: dict[str, list[bytes]] = {origin: [] for origin in SCOPES}
        self._held_bytes = 0
        self._indexes: dict[str, dict[int, int]] = {origin: {} for origin in SCOPES}
        self._alike: dict[tuple[int, str, str, str, str, str, str], bytes] = {}

    @property
    def count(self) -> int:
        return sum(map(len, self._records.values()))

    def add_line(self, record: LogLine, line: Line, invocation: Invocation | None) -> bytes:
        """A line of the function or of an extension, and the invocation it belongs to, if that is known.

        Gives what `add_text` wants of lines that have all but time and text in common with this one.
        """
        trace_id, span_id = line.trace_id, line.span_id
        owner_id = tenant_id = ""
        if invocation is not None:
            owner_id, tenant_id = invocation.request_id, invocation.tenant_id
            if not span_id and trace_id in ("", invocation.trace_id):
                trace_id, span_id = invocation.context
        time_ns, request_id, attributes = believed(line, event_ns=record.time_ns, owner_id=owner_id)
        if record.extra:
            attributes = attributes | envelope_attributes(record.extra)
        # As a plain tuple, which is equal and a third of the time to make.
        alike = (line.severity_number, line.severity_text, trace_id, span_id, request_id, tenant_id, "")
        return self._add(record.origin, time_ns, record.observed_ns, alike, line.body, attributes)

    def add_text(
        self,
        record: LogLine,
        time_ns: int,
        fixed: bytes,
        text: str,
        said: Mapping[str, Any] = MappingProxyType({}),
        others: Iterable[str] = (),
    ) -> None:
        """A line whose time and text have been read; *fixed* is what `add_line` gave for one like it.

        Its attributes are the members of *said* that *others* names.
        """
        try:
            value = text.encode()
        except UnicodeEncodeError:
            value = utf8(text)
        content = _head_of_text(len(value)) + value
        if others:
            content += b"".join([attribute(_ATTRIBUTE, key, said[key]) for key in others])
        self._write(record.origin, time_ns, record.observed_ns, fixed, content)

    def add_event(self, event: Event, invocation: Invocation | None) -> None:
        """A platform event, whole: every field of it becomes an attribute, or the body if it has no fields."""
        is_object = isinstance(event.fields, dict)
        number = severity(event)
        trace_id, span_id = invocation.context if invocation else ("", "")
        attributes = platform_attributes(event.fields) if is_object else {}
        self._add(
            "platform",
            event.time_ns,
            event.observed_ns,
            _Alike(number, _SEVERITY_TEXTS[number], trace_id, span_id, event_name=event.type),
            event.type if is_object else event.fields,
            attributes | envelope_attributes(event.extra),
        )

    def add_malformed(self, record: Malformed) -> None:
        """Bytes that are no record, kept as text."""
        self._add(
            "platform",
            record.observed_ns,
            record.observed_ns,
            _Alike(WARN, _SEVERITY_TEXTS[WARN]),
            record.text,
            {"lambda.malformed": True},
        )

    def take(self) -> list[Batch]:
        """Everything gathered, encoded, in batches within the bounds (a single larger record comes alone)."""
        records, self._records = self._records, {origin: [] for origin in SCOPES}
        size, self._held_bytes = self._held_bytes, 0
        count = sum(map(len, records.values()))
        if not count:
            return []
        if size <= self._batch_bytes - _FRAME_BYTES and count <= self._batch_items:
            return [self._batch(records, count)]
        return [
            self._batch({origin: part}, len(part))
            for origin, of_origin in records.items()
            for part in self._parts(of_origin)
        ]

    def _add(
        self,
        origin: str,
        time_ns: int,
        observed_ns: int,
        alike: "_Alike | tuple[int, str, str, str, str, str, str]",
        body: Any,
        attributes: Mapping[str, Any],
    ) -> bytes:
        if (fixed := self._alike.get(alike)) is None:
            fixed = self._remember(_Alike(*alike))
        if type(body) is str:
            value = utf8(body)
            content = _head_of_text(len(value)) + value
        else:
            value = any_value(body)
            content = _BODY + varint(len(value)) + value
        if attributes:
            content += b"".join([attribute(_ATTRIBUTE, key, inner) for key, inner in attributes.items()])
        self._write(origin, time_ns, observed_ns, fixed, content)
        return fixed

    def _write(self, origin: str, time_ns: int, observed_ns: int, fixed: bytes, content: bytes) -> None:
        """One record: *content* is its body and its attributes, encoded."""
        if time_ns:
            # Lambda's times are milliseconds: an index in the nanoseconds keeps the order of what happened within one.
            indexes = self._indexes[origin]
            index = indexes.get(time_ns, 0)
            if not index and len(indexes) >= _MOST_INDEXES:
                indexes.clear()
            indexes[time_ns] = index + 1
            time_ns += index if index < _LAST_INDEX else _LAST_INDEX
        times = _times(_TIME, time_ns, _OBSERVED, observed_ns)
        length = varint(_TIMES_BYTES + len(fixed) + len(content))
        record = b"".join((_RECORD, length, times, fixed, content))
        self._held_bytes += len(record)
        self._records[origin].append(record)

    def _remember(self, alike: "_Alike") -> bytes:
        """The part of a record that is the same for many: one message, serialized once."""
        attributes = {
            REQUEST_ID: alike.request_id,
            "lambda.tenant_id": alike.tenant_id,
            "event.name": alike.event_name,
        }
        if len(self._alike) >= _MOST_ALIKE:
            self._alike.clear()
        self._alike[alike] = fixed = LogRecord(
            severity_number=alike.severity_number,  # type: ignore[arg-type]  # the enum's numbers
            severity_text=clean(alike.severity_text),
            attributes=key_values({key: value for key, value in attributes.items() if value}),
            trace_id=bytes.fromhex(alike.trace_id),
            span_id=bytes.fromhex(alike.span_id),
            event_name=clean(alike.event_name),
        ).SerializeToString()
        return fixed

    def _batch(self, records: Mapping[str, list[bytes]], count: int) -> Batch:
        # All is joined at once: with each message joined by itself, 4 MB of records were three times in memory.
        scopes: list[bytes] = []
        for origin, of_origin in records.items():
            if of_origin:
                head = self._scopes[origin]
                scopes += (_SCOPE_LOGS, encoded(len(head) + sum(map(len, of_origin))), head, *of_origin)
        length = len(self._resource_field) + sum(map(len, scopes))
        parts = (_RESOURCE_LOGS, encoded(length), self._resource_field, *scopes)
        return Batch(LOGS, b"".join(parts), count)

    def _parts(self, records: list[bytes]) -> Iterator[list[bytes]]:
        part: list[bytes] = []
        size = _FRAME_BYTES
        for record in records:
            size += len(record)
            if part and (size > self._batch_bytes or len(part) == self._batch_items):
                yield part
                part, size = [], _FRAME_BYTES + len(record)
            part.append(record)
        if part:
            yield part


# What stands before a text of so many bytes: the body, and in it a string.
@lru_cache(maxsize=8_192)
def _head_of_text(size: int) -> bytes:
    text = _STRING + encoded(size)
    return _BODY + encoded(len(text) + size) + text
