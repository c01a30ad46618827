"""Encodes the log records of a scope. Pure.

This is the hot path, so a record is joined from parts: fields that many records have in common are encoded once, and
only time, body and the record's own attributes are encoded for each.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto
"""

from typing import Any, NamedTuple

from telemetry_forwarder.core.cache import BoundedCache
from telemetry_forwarder.log_formats.attribute_names import EXECUTION_ID, EXECUTION_NAME, REQUEST_ID, TENANT_ID
from telemetry_forwarder.otlp.protobuf import (
    AttributesEncoder,
    encode_any_value,
    encode_text,
    encode_varint,
    field,
    text_field,
)

_MAX_INDEX = 999_999
# Lines arrive almost in order, so only recent milliseconds need an index.
_MAX_INDEXES = 1_024

# Tags (field number and wire type).
_RECORD = b"\x12"
_TIME, _SEVERITY_NUMBER, _SEVERITY_TEXT, _BODY, _STRING = b"\x09", b"\x10", b"\x1a", b"\x2a", b"\x0a"
_TRACE_ID, _SPAN_ID, _OBSERVED, _EVENT_NAME = b"\x4a", b"\x52", b"\x59", b"\x62"
# Both times, each with its tag.
_TIMES_BYTES = 18

record_attributes = AttributesEncoder(b"\x32")


class CommonFields(NamedTuple):
    """Fields that many records have in common. Ids are hex; what is empty is left out."""

    severity_number: int
    severity_text: str
    trace_id: str = ""
    span_id: str = ""
    request_id: str = ""
    tenant_id: str = ""
    event_name: str = ""
    execution: str = ""
    """`name/id` of a durable execution."""


AnyCommonFields = tuple[int, str, str, str, str, str, str, str]
"""A CommonFields, or a plain tuple that equals it: that is faster to make."""


class ScopeRecords:
    """Collects encoded records, each as a field of ScopeLogs, until `take`."""

    __slots__ = ("_indexes", "_records")

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._indexes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._records)

    def take(self) -> list[bytes]:
        """Return the collected records and start over."""
        taken, self._records = self._records, []
        return taken

    def add(self, time_ns: int, observed: bytes, common: bytes, body: Any, attributes: bytes) -> None:
        """Encode a record. *time_ns* is 0 if its time is unknown; *body* is any JSON value.

        The rest is encoded: *observed* by `encode_observed_time`, *common* by `encode_common`, *attributes* by
        `record_attributes`. By position, because keyword arguments take time for each record.
        """
        if time_ns:
            # Lambda's times are milliseconds: an index in the nanoseconds keeps the order within one of them.
            indexes = self._indexes
            index = indexes.get(time_ns)
            if index is None:
                if len(indexes) >= _MAX_INDEXES:
                    indexes.clear()
                indexes[time_ns] = 1
            else:
                indexes[time_ns] = index + 1
                time_ns += index if index < _MAX_INDEX else _MAX_INDEX
        if type(body) is str:
            # As in `encode_text`, without a call for each line.
            try:
                text = body.encode()
            except UnicodeEncodeError:
                text = encode_text(body)
            head = _text_body_heads[len(text)]
        else:
            head, text = b"", field(_BODY, encode_any_value(body))
        record_head = _record_heads[len(common) + len(head) + len(text) + len(attributes)]
        time = time_ns.to_bytes(8, "little")
        self._records.append(b"".join((record_head, time, observed, common, head, text, attributes)))


def encode_common(fields: AnyCommonFields) -> bytes:
    """Return the encoded fields of a LogRecord."""
    common = CommonFields(*fields)
    name, _, execution_id = common.execution.partition("/")
    attributes = {REQUEST_ID: common.request_id, TENANT_ID: common.tenant_id}
    attributes |= {EXECUTION_NAME: name, EXECUTION_ID: execution_id}
    number = common.severity_number
    parts = (
        _SEVERITY_NUMBER + encode_varint(number) if number else b"",
        text_field(_SEVERITY_TEXT, common.severity_text),
        record_attributes.encode({key: value for key, value in attributes.items() if value}),
        field(_TRACE_ID, bytes.fromhex(common.trace_id)) if common.trace_id else b"",
        field(_SPAN_ID, bytes.fromhex(common.span_id)) if common.span_id else b"",
        text_field(_EVENT_NAME, common.event_name),
    )
    return b"".join(parts)


def encode_observed_time(observed_ns: int) -> bytes:
    """Return the field for the time at which a record was received."""
    return _OBSERVED + observed_ns.to_bytes(8, "little")


def _record_head(size: int) -> bytes:
    """Return tag and length of a record and the tag of its time; *size* is the size of all fields but both times."""
    return _RECORD + encode_varint(_TIMES_BYTES + size) + _TIME


def _text_body_head(size: int) -> bytes:
    """Return tag and length of a body and of its text, which has *size* bytes."""
    head = _STRING + encode_varint(size)
    return _BODY + encode_varint(len(head) + size) + head


_record_heads = BoundedCache(_record_head, 8_192)
_text_body_heads = BoundedCache(_text_body_head, 8_192)
