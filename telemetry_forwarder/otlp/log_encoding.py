"""The log records of a scope, as bytes. Pure.

This is the hot path, so a record is joined from parts: what is the same for many is serialized once, by whoever
knows it, and only time, body and own attributes are written for each.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto
"""

from telemetry_forwarder.core.cache import BoundedCache
from telemetry_forwarder.otlp.protobuf import Attributes, encoded, field, utf8

_LAST_INDEX = 999_999
# Lines come nearly in order: an index is wanted for the milliseconds just past.
_MOST_INDEXES = 1_024

# Tags: number and wire type.
_RECORD = b"\x12"
_TIME, _OBSERVED, _BODY, _STRING = b"\x09", b"\x59", b"\x2a", b"\x0a"
_TIMES_BYTES = 18

ATTRIBUTES = Attributes(b"\x32")


class ScopeRecords:
    """Gathers records, each as a field of ScopeLogs, until `take`."""

    __slots__ = ("_indexes", "_records")

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._indexes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._records)

    def take(self) -> list[bytes]:
        """What was gathered; the indexes of its moments go on."""
        taken, self._records = self._records, []
        return taken

    def add(
        self, time_ns: int, observed: bytes, fixed: bytes, body: "str | bytes", attributes: bytes
    ) -> None:
        """Encode a record. *time_ns* is 0 where its moment is not known.

        All else is encoded already: *observed* by `observed_field`, what is *fixed* for many as `LogEncoder` gives it,
        a *body* that is no text by `body_field`, *attributes* by `ATTRIBUTES`.
        """
        if time_ns:
            # Lambda's times are milliseconds: an index in the nanoseconds keeps the order of what happened within one.
            indexes = self._indexes
            index = indexes.get(time_ns)
            if index is None:
                if len(indexes) >= _MOST_INDEXES:
                    indexes.clear()
                indexes[time_ns] = 1
            else:
                indexes[time_ns] = index + 1
                time_ns += index if index < _LAST_INDEX else _LAST_INDEX
        if isinstance(body, str):
            # What `utf8` does, without the call: once a line.
            try:
                value = body.encode()
            except UnicodeEncodeError:
                value = utf8(body)
            head = _heads_of_text[len(value)]
        else:
            head, value = b"", body
        frame = _frames[len(fixed) + len(head) + len(value) + len(attributes)]
        time = time_ns.to_bytes(8, "little")
        self._records.append(b"".join((frame, time, observed, fixed, head, value, attributes)))


def observed_field(observed_ns: int) -> bytes:
    """When we heard of a record."""
    return _OBSERVED + observed_ns.to_bytes(8, "little")


def body_field(payload: bytes) -> bytes:
    """A body of any kind, whose AnyValue is *payload*."""
    return field(_BODY, payload)


def _frame(size: int) -> bytes:
    """What stands before a record's time, where all but its times has *size* bytes."""
    return _RECORD + encoded(_TIMES_BYTES + size) + _TIME


def _head_of_text(size: int) -> bytes:
    """What stands before a text of so many bytes: the body, and in it a string."""
    text = _STRING + encoded(size)
    return _BODY + encoded(len(text) + size) + text


# A post's records have one.
observed_fields = BoundedCache(observed_field, 16)
_frames = BoundedCache(_frame, 8_192)
_heads_of_text = BoundedCache(_head_of_text, 8_192)
