"""A histogram that is kept says what the SDK's own says, which is made anew each time."""

from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from telemetry_forwarder.otlp.kept_histograms import KeptHistograms

BOUNDS = [1.0, 5.0, 10.0]
# What is recorded before each collection: nothing before some of them.
STORY: list[list[float]] = [[0.5, 7], [], [3], [11, 0.1], [], [], [5], [1]]


class Counted(ExplicitBucketHistogramAggregation):
    """The SDK's own, which counts how many it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def _create_aggregation(self, *given: Any) -> Any:
        self.made += 1
        return super()._create_aggregation(*given)


class KeptAndCounted(KeptHistograms, Counted):
    """Ours, on top of that."""


class Told:
    """Two histograms, one of them with attributes now and then."""

    def __init__(
        self, aggregation: ExplicitBucketHistogramAggregation, temporality: AggregationTemporality
    ) -> None:
        self._reader = InMemoryMetricReader(preferred_temporality={Histogram: temporality})
        views = [View(instrument_type=Histogram, aggregation=aggregation)]
        provider = MeterProvider([self._reader], shutdown_on_exit=False, views=views)
        meter = provider.get_meter("test")
        self._one, self._other = (
            meter.create_histogram(name, explicit_bucket_boundaries_advisory=BOUNDS)
            for name in ("one", "other")
        )

    def read(self) -> list[list[tuple[str, HistogramDataPoint]]]:
        return [self._collected(values) for values in STORY]

    def _collected(self, values: list[float]) -> list[tuple[str, HistogramDataPoint]]:
        for value in values:
            self._one.record(value)
            self._other.record(10 * value)
            self._other.record(value, {"is": "odd"})
        data = self._reader.get_metrics_data()
        return [
            (metric.name, point)
            for of_resource in (data.resource_metrics if data else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            for point in metric.data.data_points
            if isinstance(point, HistogramDataPoint)
        ]


def without_times(read: list[list[tuple[str, HistogramDataPoint]]]) -> list[list[Any]]:
    return [
        [
            (name, point.attributes, point.count, point.sum, point.bucket_counts, point.min, point.max)
            for name, point in points
        ]
        for points in read
    ]


@pytest.mark.parametrize("temporality", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
def test_it_says_the_same(temporality: AggregationTemporality) -> None:
    kept = Told(KeptHistograms(), temporality).read()
    own = Told(ExplicitBucketHistogramAggregation(), temporality).read()

    assert without_times(kept) == without_times(own)
    assert any(point.explicit_bounds == tuple(BOUNDS) for points in kept for _, point in points)


def test_each_delta_begins_where_the_one_before_has_ended() -> None:
    read = Told(KeptHistograms(), AggregationTemporality.DELTA).read()
    spans = [
        [(point.start_time_unix_nano, point.time_unix_nano) for name, point in points if name == "one"]
        for points in read
    ]

    ends = [end for [(_, end)] in (span for span in spans if span)]
    assert len(ends) == 5
    for before, after in pairwise(spans):
        if before and after:
            assert after[0][0] == before[0][1]
    # After a collection of nothing it begins there, which was later than the last that had something.
    assert [spans[2][0][0] > spans[0][0][1], spans[6][0][0] > spans[3][0][1]] == [True, True]


def test_the_sdk_makes_one_for_each_collection() -> None:
    """When it no longer does, `KeptHistograms` has had its day."""
    counted, kept = Counted(), KeptAndCounted()

    Told(counted, AggregationTemporality.DELTA).read()
    Told(kept, AggregationTemporality.DELTA).read()

    # One of each instrument to know the kind; then, for each time that something was recorded, two that have no
    # attributes, which are kept, and one that has.
    recorded = sum(map(bool, STORY))
    assert counted.made == 2 + 3 * recorded
    assert kept.made == 2 + 2 + recorded
