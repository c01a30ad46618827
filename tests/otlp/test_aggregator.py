"""For the same measurements, the aggregator's metrics equal those of the SDK, and cost less."""

import copy
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.otlp.aggregator import MAX_ATTRIBUTE_SETS, Aggregator, Attributes
from telemetry_forwarder.otlp.instruments import Instrument, Kind
from tests.support.otlp_messages import attributes, points

COUNTER = Instrument("errors", "{error}", Kind.COUNTER, "Invocations that failed")
UP_DOWN_COUNTER = Instrument("inflight", "{span}", Kind.UP_DOWN_COUNTER)
HISTOGRAM = Instrument("duration", "s", Kind.HISTOGRAM, "How long it took", (0.1, 1, 5))
SIZES = Instrument("size", "By", Kind.HISTOGRAM, "How large it was", (0, 1024))
GAUGE = Instrument("memory", "By", Kind.GAUGE, "How much there is")

Measured = tuple[Instrument, float, dict[str, str]]
COLLECT = "collect"

DELTAS: dict[type, AggregationTemporality] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
}


class SdkMeter:
    """The SDK's instruments, each created before its first measurement, and the official encoder."""

    def __init__(self, *, is_delta: bool) -> None:
        self._reader = InMemoryMetricReader(preferred_temporality=dict(DELTAS) if is_delta else {})
        provider = MeterProvider([self._reader], Resource({}), shutdown_on_exit=False)
        self._meter = provider.get_meter("aws.lambda")

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        described = (instrument.name, instrument.unit, instrument.description)
        match instrument.kind:
            case Kind.COUNTER:
                self._meter.create_counter(*described).add(value, attributes)
            case Kind.UP_DOWN_COUNTER:
                self._meter.create_up_down_counter(*described).add(value, attributes)
            case Kind.HISTOGRAM:
                bounds = instrument.bounds
                histogram = self._meter.create_histogram(*described, explicit_bucket_boundaries_advisory=bounds)
                histogram.record(value, attributes)
            case Kind.GAUGE:
                self._meter.create_gauge(*described).set(value, attributes)

    def collect(self) -> list[metrics_pb2.Metric]:
        data = self._reader.get_metrics_data()
        return list(encode_metrics(data).resource_metrics[0].scope_metrics[0].metrics) if data else []


class Steps:
    """Numbers the steps of a test by their times, because the SDK reads the wall clock itself."""

    def __init__(self) -> None:
        self._began_ns: list[int] = []

    def begin(self) -> None:
        last_ns = time.time_ns()
        while (now_ns := time.time_ns()) <= last_ns:
            pass
        self._began_ns.append(now_ns)

    def unix_ns(self) -> int:
        return self._began_ns[-1]

    def replace_times(self, metrics: list[metrics_pb2.Metric]) -> list[metrics_pb2.Metric]:
        """Replace the times of all data points by the numbers of their steps."""
        for metric in metrics:
            for point in points(metric):
                point.start_time_unix_nano = bisect_right(self._began_ns, point.start_time_unix_nano)
                point.time_unix_nano = bisect_right(self._began_ns, point.time_unix_nano)
        return metrics


def aggregator(unix_ns: Callable[[], int], *, is_delta: bool) -> Aggregator:
    return Aggregator("delta" if is_delta else "cumulative", unix_ns)


def collected(ours: Aggregator) -> list[metrics_pb2.Metric]:
    metrics, count = ours.collect()
    assert count == sum(len(points(metric)) for metric in metrics)
    return copy.deepcopy(metrics)


def exported_by_both(steps: Iterable[Measured | str], *, is_delta: bool) -> tuple[list[Any], list[Any]]:
    """Return what each collection exports: that of the aggregator, and that of the SDK."""
    clock, sdk = Steps(), SdkMeter(is_delta=is_delta)
    ours = aggregator(clock.unix_ns, is_delta=is_delta)
    by_ours, by_sdk = [], []
    for step in steps:
        clock.begin()
        if isinstance(step, str):
            by_ours.append(clock.replace_times(collected(ours)))
            by_sdk.append(clock.replace_times(sdk.collect()))
        else:
            ours.record(*step)
            sdk.record(*step)
    return by_ours, by_sdk


COUNTS = st.integers(0, 2**40)
FLOATS = st.sampled_from([0.0, 0.1, 1.0, 5.0]) | st.floats(0, 1e9)
ATTRIBUTES = st.sampled_from([{}, {"error.type": "A"}, {"error.type": "B"}, {"b": "1", "error.type": "A"}])
MEASUREMENTS = st.one_of(
    st.tuples(st.just(COUNTER), COUNTS, ATTRIBUTES),
    st.tuples(st.just(UP_DOWN_COUNTER), st.integers(-(2**40), 2**40), ATTRIBUTES),
    st.tuples(st.just(HISTOGRAM), FLOATS, ATTRIBUTES),
    st.tuples(st.just(SIZES), COUNTS, ATTRIBUTES),
    st.tuples(st.just(GAUGE), st.integers(-(2**40), 2**40), ATTRIBUTES),
)


@given(st.lists(MEASUREMENTS | st.just(COLLECT), max_size=20), st.booleans())
def test_any_measurements_are_exported_as_by_the_sdk(steps: list[Measured | str], is_delta: bool) -> None:
    by_ours, by_sdk = exported_by_both([*steps, COLLECT, COLLECT], is_delta=is_delta)

    assert by_ours == by_sdk


@pytest.mark.parametrize("is_delta", [True, False])
def test_further_attributes_than_the_limit_share_one_point(is_delta: bool) -> None:
    errors: list[Measured] = [(COUNTER, 1, {"error.type": str(number)}) for number in range(MAX_ATTRIBUTE_SETS + 2)]

    by_ours, by_sdk = exported_by_both([*errors, COLLECT, errors[-1], errors[0], COLLECT], is_delta=is_delta)

    assert by_ours == by_sdk
    first, second = [
        {str(attributes(point.attributes)): point.as_int for point in points(metric)} for [metric] in by_ours
    ]
    assert len(first) == MAX_ATTRIBUTE_SETS + 1
    assert first["{'otel.metric.overflow': True}"] == 2
    # A delta has room for every attribute again.
    assert second["{'error.type': '0'}"] == (1 if is_delta else 2)
    assert second.get("{'otel.metric.overflow': True}") == (None if is_delta else 3)


def test_a_sum_ends_at_the_largest_integer() -> None:
    one = aggregator(lambda: 1, is_delta=False)
    for _ in range(3):
        one.record(COUNTER, 2**62, {})

    [[point]] = [points(metric) for metric in collected(one)]

    assert point.as_int == 2**63 - 1


def test_the_sdk_takes_more_calls() -> None:
    """If it no longer does, it should replace ours."""
    ours, sdk = aggregator(lambda: 1, is_delta=True), SdkMeter(is_delta=True)

    def use(one: Aggregator | SdkMeter) -> None:
        one.record(HISTOGRAM, 0.5, {})
        one.record(COUNTER, 1, {})
        one.collect()

    use(ours)
    use(sdk)

    assert calls(lambda: use(sdk)) > 2 * calls(lambda: use(ours))


def calls(work: Callable[[], object]) -> int:
    """Return the number of functions, Python's and C's, that *work* calls."""
    seen: list[str] = []
    sys.setprofile(lambda _frame, event, _what: seen.append(event))
    try:
        work()
    finally:
        sys.setprofile(None)
    return sum(event in ("call", "c_call") for event in seen)


class TestTimes:
    """Each step takes one nanosecond, from 1 on."""

    def test_a_delta_begins_with_its_first_measurement_or_where_the_one_before_it_has_ended(self) -> None:
        assert intervals(COUNTER, is_delta=True) == [(1, 3), (3, 5), (6, 8)]

    def test_a_cumulative_sum_begins_with_its_first_measurement(self) -> None:
        assert intervals(COUNTER, is_delta=False) == [(1, 3), (1, 5), (1, 6), (1, 8)]
        assert intervals(UP_DOWN_COUNTER, is_delta=True) == [(1, 3), (1, 5), (1, 6), (1, 8)]

    def test_a_point_does_not_begin_after_its_end_if_the_wall_clock_was_set_back(self) -> None:
        times_ns = iter([9, 5])
        one = aggregator(lambda: next(times_ns), is_delta=True)
        one.record(COUNTER, 1, {})

        [[point]] = [points(metric) for metric in collected(one)]

        assert (point.start_time_unix_nano, point.time_unix_nano) == (5, 5)

    def test_a_gauge_has_no_beginning(self) -> None:
        assert intervals(GAUGE, is_delta=True) == [(0, 3), (0, 5), (0, 6), (0, 8)]


def intervals(instrument: Instrument, *, is_delta: bool) -> list[tuple[int, int]]:
    """Return start and end of what is exported by four collections, the third of which follows no measurement."""
    now_ns = 0
    one = aggregator(lambda: now_ns, is_delta=is_delta)
    exported = []
    for now_ns, is_collection in enumerate([False, False, True, False, True, True, False, True], 1):  # noqa: B007
        if is_collection:
            exported += [point for metric in collected(one) for point in points(metric)]
        else:
            one.record(instrument, 1, {})
    return [(point.start_time_unix_nano, point.time_unix_nano) for point in exported]
