import itertools
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.check.items import MARK, NAME, ItemMaker
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS
from tests.support.otlp_messages import REQUESTS, log_records, metrics, spans

NOW_NS = 1_791_500_000_000_000_000


def decoded(signal: str, temporality: str = "delta") -> Any:
    numbers = itertools.count(1)
    maker = ItemMaker(
        Resource({"service.name": "orders"}), temporality, lambda: NOW_NS, lambda size: bytes([next(numbers)] * size)
    )
    batch = maker.batch(signal)
    assert (batch.signal, batch.items) == (signal, 1)
    return REQUESTS[f"/v1/{signal}"].FromString(batch.body)


def test_log_record_is_marked() -> None:
    ((resource, scope, record),) = log_records(decoded(LOGS))

    assert resource["service.name"] == "orders"
    assert scope.name == NAME
    assert (record.body.string_value, record.severity_text, record.time_unix_nano) == (NAME, "INFO", NOW_NS)
    assert [(each.key, each.value.bool_value) for each in record.attributes] == [(MARK, True)]


def test_span_is_marked() -> None:
    ((resource, _, span),) = spans(decoded(SPANS))

    assert resource["service.name"] == "orders"
    assert (span.name, span.trace_id, span.span_id) == (NAME, b"\1" * 16, b"\2" * 8)
    assert span.end_time_unix_nano == NOW_NS > span.start_time_unix_nano
    assert [each.key for each in span.attributes] == [MARK]


@pytest.mark.parametrize(("temporality", "number"), [("delta", 1), ("lowmemory", 1), ("cumulative", 2)])
def test_data_point_is_marked_and_of_the_temporality_that_is_set(temporality: str, number: int) -> None:
    ((_, _, metric),) = metrics(decoded(METRICS, temporality))

    assert (metric.name, metric.sum.aggregation_temporality, metric.sum.is_monotonic) == (MARK, number, True)
    (point,) = metric.sum.data_points
    assert (point.as_int, point.time_unix_nano) == (1, NOW_NS)
    assert [each.key for each in point.attributes] == [MARK]
