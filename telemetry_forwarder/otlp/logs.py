"""Converts log lines and platform events to OTLP log records. Pure; never raises, whatever Lambda sends.

https://opentelemetry.io/docs/specs/otel/logs/data-model/
"""

from collections.abc import Iterator, Mapping

from telemetry_forwarder.core.batch import LOGS, Batch
from telemetry_forwarder.core.cache import BoundedCache
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, reconcile
from telemetry_forwarder.otlp.log_encoding import (
    CommonFields,
    ScopeRecords,
    encode_common,
    encode_observed_time,
    record_attributes,
)
from telemetry_forwarder.otlp.platform_attributes import WARN, describe, find_severity, map_envelope, map_fields
from telemetry_forwarder.otlp.protobuf import encode_varint
from telemetry_forwarder.otlp.resource import CurrentResource, encode_scope
from telemetry_forwarder.telemetry.records import Event, LogLine, Malformed

# One scope per source: backends show it, and it adds nothing to a record.
_SCOPES = {"function": "aws.lambda.function", "extension": "aws.lambda.extension", "platform": "aws.lambda.platform"}
_SEVERITY_TEXTS = {9: "INFO", 5: "DEBUG", 13: "WARN"}
# One post has few severities and few invocations.
_MAX_COMMON = 1_024

# Tags (field number and wire type).
_RESOURCE_LOGS, _SCOPE_LOGS = b"\x0a", b"\x12"
# An upper bound of what a request holds besides its records: resource and scopes.
_OVERHEAD_BYTES = 8_192


class LogEncoder:
    """Collects log records until `take`."""

    def __init__(self, resource: CurrentResource, version: str, *, batch_bytes: int, batch_items: int) -> None:
        self._resource = resource
        self._batch_bytes = batch_bytes
        self._batch_items = batch_items
        self._scopes = {origin: encode_scope(name, version) for origin, name in _SCOPES.items()}
        self._records = {origin: ScopeRecords() for origin in _SCOPES}
        self._common = BoundedCache(encode_common, _MAX_COMMON)

    def records(self, origin: str) -> ScopeRecords:
        """Return the records of *origin*, for callers that encode lines themselves."""
        return self._records[origin]

    def add_line(
        self, record: LogLine, line: ParsedLine, invocation: Invocation | None, *, execution: str = ""
    ) -> bytes:
        """Add a line of the function or of an extension; *invocation* is None if it is unknown.

        *execution* is `name/id` of the durable execution that the line names, or empty.

        Return the encoded common fields: `ScopeRecords.add` takes them for lines that differ only in time, body and
        attributes.
        """
        trace_id, span_id = line.trace_id, line.span_id
        owner_id = tenant_id = ""
        if invocation is not None:
            owner_id, tenant_id = invocation.request_id, invocation.tenant_id
            execution = execution or invocation.execution
            if not span_id and trace_id in ("", invocation.trace_id):
                trace_id, span_id = invocation.context
        time_ns, request_id, attributes = reconcile(line, record.time_ns, owner_id)
        if record.extra:
            attributes = attributes | map_envelope(record.extra)
        # A plain tuple, because one is made for each line.
        fields = (line.severity_number, line.severity_text, trace_id, span_id, request_id, tenant_id, "", execution)
        common = self._common[fields]
        observed = encode_observed_time(record.observed_ns)
        own = record_attributes.encode(attributes)
        self._records[record.origin].add(time_ns, observed, common, line.body, own)
        return common

    def add_event(self, event: Event, invocation: Invocation | None) -> None:
        """Add a platform event: its fields become attributes; a record that is not an object becomes the body."""
        number = find_severity(event)
        trace_id, span_id = invocation.context if invocation else ("", "")
        attributes = map_fields(event.fields) if isinstance(event.fields, dict) else {}
        self._records["platform"].add(
            event.time_ns,
            encode_observed_time(event.observed_ns),
            self._common[CommonFields(number, _SEVERITY_TEXTS[number], trace_id, span_id, event_name=event.type)],
            describe(event),
            record_attributes.encode(attributes | map_envelope(event.extra)),
        )

    def add_malformed(self, record: Malformed) -> None:
        """Add bytes that are not a record, as text."""
        common = self._common[CommonFields(WARN, _SEVERITY_TEXTS[WARN])]
        observed = encode_observed_time(record.observed_ns)
        mark = record_attributes.encode({"lambda.malformed": True})
        self._records["platform"].add(record.observed_ns, observed, common, record.text, mark)

    def take(self) -> list[Batch]:
        """Return the collected records in batches within the limits. A record beyond them is a batch of its own."""
        records = {origin: of_scope.take() for origin, of_scope in self._records.items() if of_scope}
        if not records:
            return []
        count = sum(map(len, records.values()))
        if count <= self._batch_items and len((batch := self._batch(records)).body) <= self._batch_bytes:
            return [batch]
        return [self._batch({origin: part}) for origin, of_scope in records.items() for part in self._split(of_scope)]

    def _batch(self, records: Mapping[str, list[bytes]]) -> Batch:
        # Joined once: joining each message by itself would hold the records in memory three times.
        scopes: list[bytes] = []
        resource = self._resource.field
        size = len(resource)
        for origin, of_scope in records.items():
            scope, records_bytes = self._scopes[origin], sum(map(len, of_scope))
            head = _SCOPE_LOGS + encode_varint(len(scope) + records_bytes) + scope
            size += len(head) + records_bytes
            scopes += (head, *of_scope)
        body = b"".join((_RESOURCE_LOGS, encode_varint(size), resource, *scopes))
        return Batch(LOGS, body, sum(map(len, records.values())))

    def _split(self, records: list[bytes]) -> Iterator[list[bytes]]:
        """Yield the parts of *records* that fit into a batch each; none of them is empty."""
        part: list[bytes] = []
        size = _OVERHEAD_BYTES
        for record in records:
            size += len(record)
            if part and (size > self._batch_bytes or len(part) == self._batch_items):
                yield part
                part, size = [], _OVERHEAD_BYTES + len(record)
            part.append(record)
        yield part
