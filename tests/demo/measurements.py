"""Reads the metrics that a receiver got. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.demo.story import Message, duration
from tests.support import otlp_messages
from tests.support.otlp_messages import METRICS

OUTCOMES = {
    "faas.invocations": "succeeded",
    "faas.errors": "failed",
    "faas.timeouts": "timed out",
    "faas.coldstarts": "cold starts",
}
CHARTS = {
    "faas.invoke_duration": "Duration",
    "faas.init_duration": "Init",
    "lambda.billed_duration": "Billed",
    "lambda.extension_overhead": "Extension afterwards",
    "faas.mem_usage": "Memory used",
}
LIMIT = {"faas.mem_usage": "lambda.memory_size"}
"""The metric that is the limit of another one."""


@dataclass(frozen=True, slots=True)
class Point:
    """One data point. Of a histogram, `value` is the largest of its `count` measurements."""

    time_ns: int
    value: float
    total: float
    count: int = 1
    error: str = ""


@dataclass(slots=True)
class Metric:
    """All data points of one metric, in the order of their times."""

    name: str
    unit: str
    description: str
    points: list[Point] = field(default_factory=list)

    @property
    def total(self) -> float:
        return sum(point.total for point in self.points)

    @property
    def most(self) -> float:
        return max(point.value for point in self.points)

    @property
    def range(self) -> str:
        """Return the smallest and the largest of the points' values."""
        least, most = self.text(min(point.value for point in self.points)), self.text(self.most)
        return least if least == most else f"{least} to {most}"

    def text(self, value: float) -> str:
        """Return *value*, one of this metric, with its unit."""
        match self.unit:
            case "s":
                return duration(value)
            case "By":
                return f"{value / 2**20:.0f} MB" if value >= 2**20 else f"{value:.0f} B"
            case _:
                return f"{value:g}"


def read(messages: Iterable[Message]) -> dict[str, Metric]:
    """Return every metric in *messages* by its name."""
    metrics: dict[str, Metric] = {}
    for path, message in messages:
        if path == METRICS:
            for _, _, arrived in otlp_messages.metrics(message):
                metric = metrics.setdefault(arrived.name, Metric(arrived.name, arrived.unit, arrived.description))
                metric.points += map(_point, otlp_messages.points(arrived))
    for metric in metrics.values():
        metric.points.sort(key=lambda point: point.time_ns)
    return dict(sorted(metrics.items()))


def _point(point: Any) -> Point:
    error = str(otlp_messages.attributes(point.attributes).get("error.type", ""))
    if hasattr(point, "bucket_counts"):
        return Point(point.time_unix_nano, point.max, point.sum, point.count, error)
    value = getattr(point, point.WhichOneof("value"))
    return Point(point.time_unix_nano, value, value, error=error)
