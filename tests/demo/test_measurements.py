"""Metrics are read as numbers with their units."""

import pytest

from telemetry_forwarder.otlp.instruments import INSTRUMENTS
from tests.demo.measurements import CHARTS, LIMIT, OUTCOMES, Metric, Point, read
from tests.demo.messages import counter, gauge, histogram, log, moment


def test_points_of_one_metric_are_in_the_order_of_time() -> None:
    messages = [
        histogram("faas.invoke_duration", [3.0], at=20, error="timeout"),
        log("line", at=0),
        histogram("faas.invoke_duration", [0.25, 0.5], at=10),
    ]

    metric = read(messages)["faas.invoke_duration"]

    assert metric.points == [Point(moment(10), 0.5, 0.75, 2), Point(moment(20), 3.0, 3.0, 1, "timeout")]
    assert metric.total == 3.75
    assert metric.range == "500 ms to 3.00 s"


def test_counters_are_added_and_metrics_sorted() -> None:
    metrics = read([counter("faas.invocations", 2), counter("faas.errors", 1), counter("faas.invocations", 3)])

    assert {name: metric.total for name, metric in metrics.items()} == {"faas.errors": 1, "faas.invocations": 5}
    assert list(metrics) == ["faas.errors", "faas.invocations"]


def test_range_of_equal_values_is_one_value() -> None:
    assert read([gauge("lambda.memory_size", 2**27, "By")])["lambda.memory_size"].range == "128 MB"


@pytest.mark.parametrize(("unit", "value", "text"), [("s", 0.5, "500 ms"), ("By", 33, "33 B"), ("{error}", 2.0, "2")])
def test_value_has_its_unit(unit: str, value: float, text: str) -> None:
    assert Metric("name", unit, "").text(value) == text


def test_names_are_those_of_the_product() -> None:
    assert {*OUTCOMES, *CHARTS, *LIMIT.values()} <= set(INSTRUMENTS)
