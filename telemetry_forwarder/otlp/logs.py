"""Log lines and platform events -> OTLP log records. Pure; never raises on anything that Lambda says.

What is the same for many records (severity, ids, the invocation) is a message of opentelemetry-proto that is
serialized once and kept; the rest is written by `log_records`.
https://opentelemetry.io/docs/specs/otel/logs/data-model/
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import LOGS, Batch
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.log_formats.parsed_line import REQUEST_ID, ParsedLine, reconcile
from telemetry_forwarder.otlp.common import OfResource, clean, key_values, scope_field
from telemetry_forwarder.otlp.log_encoding import ATTRIBUTES, ScopeRecords, body_field, observed_fields
from telemetry_forwarder.otlp.platform_attributes import (
    WARN,
    envelope_attributes,
    platform_attributes,
    severity,
)
from telemetry_forwarder.otlp.protobuf import any_value, encoded
from telemetry_forwarder.telemetry.records import Event, LogLine, Malformed

# One scope per source: a backend shows it, and it costs nothing per record.
SCOPES = {
    "function": "aws.lambda.function",
    "extension": "aws.lambda.extension",
    "platform": "aws.lambda.platform",
}

_SEVERITY_TEXTS = {9: "INFO", 5: "DEBUG", 13: "WARN"}
# Severities and invocations of one post are few.
_MOST_ALIKE = 1_024

# Tags of the fields that are written by hand: number and wire type.
# https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto
_RESOURCE_LOGS, _SCOPE_LOGS = b"\x0a", b"\x12"
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
        self._records = {origin: ScopeRecords() for origin in SCOPES}
        self._alike: dict[tuple[int, str, str, str, str, str, str], bytes] = {}

    def fits(self, size: int, count: int) -> bool:
        """Whether one batch may hold so many bytes of so many records."""
        return size <= self._batch_bytes - _FRAME_BYTES and count <= self._batch_items

    def of(self, origin: str) -> ScopeRecords:
        """For who encodes the lines of *origin* with `ScopeRecords.add`."""
        return self._records[origin]

    @property
    def count(self) -> int:
        return sum(map(len, self._records.values()))

    def add_line(self, record: LogLine, line: ParsedLine, invocation: Invocation | None) -> bytes:
        """A line of the function or of an extension, and the invocation it belongs to, if that is known.

        Gives the *fixed* that `ScopeRecords.add` wants for lines like this one but for time, body and attributes.
        """
        trace_id, span_id = line.trace_id, line.span_id
        owner_id = tenant_id = ""
        if invocation is not None:
            owner_id, tenant_id = invocation.request_id, invocation.tenant_id
            if not span_id and trace_id in ("", invocation.trace_id):
                trace_id, span_id = invocation.context
        time_ns, request_id, attributes = reconcile(line, event_ns=record.time_ns, owner_id=owner_id)
        if record.extra:
            attributes = attributes | envelope_attributes(record.extra)
        # As a plain tuple, which is equal and a third of the time to make.
        alike = (line.severity_number, line.severity_text, trace_id, span_id, request_id, tenant_id, "")
        return self._add(record.origin, time_ns, record.observed_ns, alike, line.body, attributes)

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
        count = self.count
        if not count:
            return []
        records = {origin: of_origin.take() for origin, of_origin in self._records.items()}
        size = sum(sum(map(len, of_origin)) for of_origin in records.values())
        if self.fits(size, count):
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
        if type(body) is not str:
            body = body_field(any_value(body))
        own = ATTRIBUTES.fields(attributes)
        self._records[origin].add(time_ns, observed_fields[observed_ns], fixed, body, own)
        return fixed

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
