from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.core.batch import LOGS, METRICS, SIGNALS, SPANS, Batch
from telemetry_forwarder.export.splitting import halves, joined
from tests.support.batches import batch, batch_of
from tests.support.otlp_messages import REQUESTS, item_lists

_PATHS = {LOGS: "/v1/logs", SPANS: "/v1/traces", METRICS: "/v1/metrics"}
_SHAPES = st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=4)


def decoded(of: Batch) -> Any:
    return REQUESTS[_PATHS[of.signal]].FromString(of.body)


def items(of: Batch) -> list[Any]:
    return [item for found in item_lists(decoded(of)) for item in found]


@given(st.sampled_from(SIGNALS), _SHAPES)
def test_halves_have_all_items_in_order(signal: str, shape: list[list[int]]) -> None:
    whole = batch_of(signal, shape)

    parts = halves(whole)

    if parts is None:
        assert whole.items < 2
    else:
        first, rest = parts
        assert items(first) + items(rest) == items(whole)
        assert (first.items, rest.items) == (len(items(first)), len(items(rest)))
        assert rest.items - first.items in (0, 1)


@given(st.sampled_from(SIGNALS), _SHAPES)
def test_halves_contain_no_empty_lists(signal: str, shape: list[list[int]]) -> None:
    for part in halves(batch_of(signal, shape)) or ():
        assert all(map(len, item_lists(decoded(part))))


def test_halves_keep_resources_and_scopes() -> None:
    parts = halves(batch_of(LOGS, [[1, 2], [1]]))

    assert parts is not None
    assert [
        [
            (resource.schema_url, [(scope.schema_url, len(scope.log_records)) for scope in resource.scope_logs])
            for resource in decoded(part).resource_logs
        ]
        for part in parts
    ] == [
        [("resource 0", [("scope 0", 1), ("scope 1", 1)])],
        [("resource 0", [("scope 1", 1)]), ("resource 1", [("scope 0", 1)])],
    ]


def test_metric_is_split_between_its_data_points() -> None:
    parts = halves(batch_of(METRICS, [[3, 0, 1]]))

    assert parts is not None
    assert [
        [metric.name for metric in decoded(part).resource_metrics[0].scope_metrics[0].metrics] for part in parts
    ] == [["metric 0"], ["metric 0", "metric 2"]]


@pytest.mark.parametrize("whole", [batch(LOGS, 1), batch(SPANS, 0), Batch(LOGS, b"\xff", 5)])
def test_batch_that_cannot_be_split(whole: Batch) -> None:
    assert halves(whole) is None


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_items_of_the_halves_add_up_to_the_batchs_count(count: int) -> None:
    parts = halves(Batch(LOGS, batch(LOGS, 4).body, count))

    assert parts is not None
    assert sum(part.items for part in parts) == count
    assert min(part.items for part in parts) >= 0


def test_joined_batch_has_all_items() -> None:
    parts = [batch(SPANS, 2), batch(SPANS, 3)]

    whole = joined(parts)

    assert whole.items == 5
    assert items(whole) == items(parts[0]) + items(parts[1])


def test_single_batch_is_returned_as_it_is() -> None:
    alone = batch(LOGS, 2)

    assert joined([alone]) is alone
