"""Aggregates measurements to OTLP's metrics, as the SDK's Meter and the official encoder do together. Pure.

The SDK can do more, and takes a large part of a cold start and of a warm invocation. The tests compare the results.
https://opentelemetry.io/docs/specs/otel/metrics/sdk/
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from telemetry_forwarder.otlp.instruments import Instrument, Kind
from telemetry_forwarder.otlp.protobuf import MAX_INT, encode_key_value

Attributes = Mapping[str, str]
_Key = tuple[tuple[str, str | bool], ...]

# Of one instrument. https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits
MAX_ATTRIBUTE_SETS = 2_000
_OVERFLOW = (("otel.metric.overflow", True),)
# The names of the setting. For our kinds of instruments, low memory means delta.
# https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/#additional-environment-variable-configuration
TEMPORALITIES = ("delta", "lowmemory", "cumulative")
# The field of a Metric.
_FIELDS = {Kind.COUNTER: "sum", Kind.UP_DOWN_COUNTER: "sum", Kind.HISTOGRAM: "histogram", Kind.GAUGE: "gauge"}


class Aggregator:
    """Records measurements until they are collected: then deltas start again from zero, and all else continues."""

    def __init__(self, temporality: str, unix_ns: Callable[[], int]) -> None:
        """*temporality*, of counters and histograms, is one of TEMPORALITIES; *unix_ns* reads the wall clock."""
        self.is_delta = temporality != "cumulative"
        self._unix_ns = unix_ns
        self._series: dict[str, _Series] = {}

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        """Record a measurement of the kind that *instrument* takes."""
        series = self._series.get(instrument.name)
        if series is None:
            is_delta = self.is_delta and instrument.kind in (Kind.COUNTER, Kind.HISTOGRAM)
            series = self._series[instrument.name] = _Series(instrument, self._unix_ns, is_delta=is_delta)
        series.record(value, attributes)

    def collect(self) -> tuple[list[otlp.Metric], int]:
        """Return the metrics with data points, in the order of their first use, and the number of these points.

        Metrics that are not deltas change with the next measurement.
        """
        now_ns = self._unix_ns()
        collected = [series.collect(now_ns) for series in self._series.values()]
        return [metric for metric, points in collected if points], sum([points for _, points in collected])


class _Series:
    """The metric of one instrument, with a data point for each set of attributes."""

    def __init__(self, instrument: Instrument, unix_ns: Callable[[], int], *, is_delta: bool) -> None:
        self._instrument = instrument
        self._unix_ns = unix_ns
        self._is_delta = is_delta
        self._collected_ns = 0
        self._begin()

    def record(self, value: Any, attributes: Attributes) -> None:
        point = self._point(attributes)
        match self._instrument.kind:
            case Kind.GAUGE:
                point.as_int = value
            case Kind.HISTOGRAM:
                point.count += 1
                point.sum += value
                point.min, point.max = min(point.min, value), max(point.max, value)
                point.bucket_counts[bisect_left(self._instrument.bounds, value)] += 1
            case _:
                point.as_int = min(point.as_int + value, MAX_INT)

    def collect(self, now_ns: int) -> tuple[otlp.Metric, int]:
        """Return the metric and the number of its data points."""
        metric, points = self._metric, self._points
        for point in points.values():
            point.time_unix_nano = now_ns
            # The wall clock may have been set back in between. Endpoints refuse points that end before they start.
            point.start_time_unix_nano = min(point.start_time_unix_nano, now_ns)
        if self._is_delta:
            self._collected_ns = now_ns
            self._begin()
        return metric, len(points)

    def _begin(self) -> None:
        instrument, kind = self._instrument, self._instrument.kind
        # A new message each time: memory of points that are removed from a message is not freed before it is.
        self._metric = otlp.Metric(name=instrument.name, unit=instrument.unit, description=instrument.description)
        self._data: Any = getattr(self._metric, _FIELDS[kind])
        self._points: dict[_Key, Any] = {}
        if kind is Kind.COUNTER:
            self._data.is_monotonic = True
        if kind is not Kind.GAUGE:
            delta, cumulative = otlp.AGGREGATION_TEMPORALITY_DELTA, otlp.AGGREGATION_TEMPORALITY_CUMULATIVE
            self._data.aggregation_temporality = delta if self._is_delta else cumulative

    def _point(self, attributes: Attributes) -> Any:
        """Return the point for *attributes*; beyond the limit, the one that all others share."""
        key: _Key = tuple(sorted(attributes.items()))
        if key not in self._points and len(self._points) >= MAX_ATTRIBUTE_SETS:
            key = _OVERFLOW
        if key not in self._points:
            self._points[key] = self._add_point(key)
        return self._points[key]

    def _add_point(self, key: _Key) -> Any:
        attributes = [KeyValue.FromString(encode_key_value(*pair)) for pair in key]
        point = self._data.data_points.add(attributes=attributes)
        if self._instrument.kind is not Kind.GAUGE:
            # A delta begins where the one before it has ended.
            point.start_time_unix_nano = self._collected_ns or self._unix_ns()
        if self._instrument.kind is Kind.HISTOGRAM:
            point.explicit_bounds.extend(self._instrument.bounds)
            point.bucket_counts.extend([0] * (len(self._instrument.bounds) + 1))
            point.min, point.max = inf, -inf
        return point
