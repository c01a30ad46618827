"""The encoded metrics equal those of the official encoder, and cost less."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry_forwarder.otlp.metric_encoding import encode_metric

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=90)
ATTRIBUTES = st.dictionaries(
    TEXTS,
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    max_size=3,
)
TIMES = st.integers(0, 2**64 - 1)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
TEMPORALITIES = st.sampled_from([AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
NUMBER_POINTS = st.lists(st.builds(NumberDataPoint, ATTRIBUTES, TIMES, TIMES, NUMBERS), min_size=1, max_size=3)
MEASUREMENTS = st.floats(allow_nan=False) | st.integers(0, 2**53)
HISTOGRAM_POINTS = st.lists(
    st.builds(
        HistogramDataPoint,
        ATTRIBUTES,
        TIMES,
        TIMES,
        count=st.integers(0, 2**64 - 1),
        sum=MEASUREMENTS,
        bucket_counts=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20).map(tuple),
        explicit_bounds=st.lists(MEASUREMENTS, min_size=1, max_size=20).map(tuple),
        min=MEASUREMENTS,
        max=MEASUREMENTS,
    ),
    min_size=1,
    max_size=3,
)
METRICS = st.builds(
    Metric,
    TEXTS,
    TEXTS | st.none(),
    TEXTS | st.none(),
    st.builds(Gauge, NUMBER_POINTS)
    | st.builds(Sum, NUMBER_POINTS, TEMPORALITIES, st.booleans())
    | st.builds(Histogram, HISTOGRAM_POINTS, TEMPORALITIES),
)

SCOPE = InstrumentationScope("aws.lambda", "1")
ONE = Metric(
    "faas.invoke_duration",
    "How long the function took",
    "s",
    Histogram([HistogramDataPoint({}, 1, 2, 1, 0.5, (0, 1, 0), (0.1, 1), 0.5, 0.5)], AggregationTemporality.DELTA),
)


def official(metric: Metric) -> Any:
    scope = ScopeMetrics(SCOPE, [metric], "")
    message = encode_metrics(MetricsData([ResourceMetrics(Resource({}), [scope], "")]))
    return message.resource_metrics[0].scope_metrics[0].metrics[0]


def started(metric: Metric) -> Metric:
    """Return *metric* with the start of each data point before its end."""
    data: Any = metric.data
    points = [
        replace(point, start_time_unix_nano=min(point.start_time_unix_nano, point.time_unix_nano))
        for point in data.data_points
    ]
    return replace(metric, data=replace(data, data_points=points))


@given(METRICS)
def test_any_metric_is_the_same_as_the_official_message(metric: Metric) -> None:
    assert metrics_pb2.Metric.FromString(encode_metric(metric)) == official(started(metric))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64 - 1])
def test_a_number_outside_of_int64_is_a_double(value: int) -> None:
    metric = Metric("a", "", "By", Gauge([NumberDataPoint({}, 0, 1, value)]))

    [point] = metrics_pb2.Metric.FromString(encode_metric(metric)).gauge.data_points

    assert point.as_double == float(value)


def test_a_metric_of_another_kind_is_refused() -> None:
    data: Any = "an exponential histogram"

    with pytest.raises(TypeError, match="a is a str"):
        encode_metric(Metric("a", "", "", data))


def test_the_official_encoder_takes_more_calls() -> None:
    """If it no longer does, it should replace ours."""
    encode_metric(ONE)

    assert calls(lambda: official(ONE)) > 2 * calls(lambda: encode_metric(ONE))


def calls(work: Callable[[], object]) -> int:
    """Return the number of functions, Python's and C's, that *work* calls."""
    seen: list[str] = []
    sys.setprofile(lambda _frame, event, _what: seen.append(event))
    try:
        work()
    finally:
        sys.setprofile(None)
    return sum(event in ("call", "c_call") for event in seen)
