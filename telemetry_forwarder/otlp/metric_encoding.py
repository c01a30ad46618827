"""What the SDK has read from its instruments -> the bytes of OTLP's Metric. Pure; without exemplars.

In the place of the official encoder, which makes a message object of every point: of the 7.2 million instructions of a
warm invocation, with its ten points, that saves 0.56 (callgrind, CPython 3.11). The tests compare the two, and notice
when the official one is no longer the dearer.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from telemetry_forwarder.otlp.protobuf import MAX_INT, MIN_INT, Attributes, encoded, field, utf8

# Tags of fields: number and wire type.
_NAME, _DESCRIPTION, _UNIT = b"\x0a", b"\x12", b"\x1a"
_GAUGE, _SUM, _HISTOGRAM = b"\x2a", b"\x3a", b"\x4a"
_POINT, _TEMPORALITY, _IS_MONOTONIC = b"\x0a", b"\x10", b"\x18\x01"
_START, _TIME, _AS_DOUBLE, _AS_INT = b"\x11", b"\x19", b"\x21", b"\x31"
_COUNT, _SUM_OF_ALL, _MIN, _MAX = b"\x21", b"\x29", b"\x59", b"\x61"
_BUCKETS, _BOUNDS = b"\x32", b"\x3a"

_number_attributes = Attributes(b"\x3a")
_histogram_attributes = Attributes(b"\x4a")

_fixed = struct.Struct("<cQ").pack
_signed = struct.Struct("<cq").pack
_double = struct.Struct("<cd").pack
_measured = struct.Struct("<cQcQcQcdcdcd").pack


def metric_bytes(metric: Metric) -> bytes:
    """The payload of a Metric: a gauge, a sum or a histogram with explicit bounds. Raises TypeError on any other."""
    data = metric.data
    head = _head(metric.name, metric.description or "", metric.unit or "")
    if isinstance(data, Histogram):
        points = [field(_POINT, _histogram_point(point)) for point in data.data_points]
        return head + field(
            _HISTOGRAM, b"".join([*points, _TEMPORALITY, encoded(data.aggregation_temporality)])
        )
    if isinstance(data, Sum):
        points = [
            field(_POINT, _fixed(_START, point.start_time_unix_nano) + _number(point))
            for point in data.data_points
        ]
        points += [_TEMPORALITY, encoded(data.aggregation_temporality)]
        return head + field(_SUM, b"".join([*points, _IS_MONOTONIC if data.is_monotonic else b""]))
    if isinstance(data, Gauge):
        return head + field(_GAUGE, b"".join([field(_POINT, _number(point)) for point in data.data_points]))
    raise TypeError(f"{metric.name} is a {type(data).__name__}")


# Instruments are few.
@lru_cache(maxsize=256)
def _head(name: str, description: str, unit: str) -> bytes:
    parts = ((_NAME, name), (_DESCRIPTION, description), (_UNIT, unit))
    return b"".join([field(tag, utf8(text)) for tag, text in parts])


def _number(point: NumberDataPoint) -> bytes:
    value = point.value
    is_integer = isinstance(value, int) and MIN_INT <= value <= MAX_INT
    said = _signed(_AS_INT, value) if is_integer else _double(_AS_DOUBLE, value)
    return _fixed(_TIME, point.time_unix_nano) + said + _number_attributes.fields(point.attributes)


def _histogram_point(point: HistogramDataPoint) -> bytes:
    measured = _measured(
        _START,
        point.start_time_unix_nano,
        _TIME,
        point.time_unix_nano,
        _COUNT,
        point.count,
        _SUM_OF_ALL,
        point.sum,
        _MIN,
        point.min,
        _MAX,
        point.max,
    )
    counts = point.bucket_counts
    buckets = field(_BUCKETS, struct.pack(f"<{len(counts)}Q", *counts))
    return (
        measured + buckets + _bounds(point.explicit_bounds) + _histogram_attributes.fields(point.attributes)
    )


@lru_cache(maxsize=64)
def _bounds(bounds: Sequence[float]) -> bytes:
    return field(_BOUNDS, struct.pack(f"<{len(bounds)}d", *bounds))
