"""What docs/backends/victoria.md promises holds with the real programs: variables, paths, headers and queries.

The programs are built with Go, which takes minutes: `pytest --backends` does so once.
"""

import json
import time
from collections import Counter
from typing import Any

import pytest

from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.endpoints.endpoint import read_endpoints
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Response
from tests.conformance.conversion import RECORDS_FILE, converted
from tests.conformance.victoria import Victoria
from tests.docs.backends import FOLDER, variables
from tests.support.captured_log import CapturedLog
from tests.support.otlp_messages import REQUESTS

_LIMIT_S = 60.0
_VICTORIA_LOGS = "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v1.52.1"
_VICTORIA_METRICS = "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@v1.151.0"


@pytest.mark.victoria(_VICTORIA_LOGS)
def test_log_records_are_found_as_the_recipe_says(victoria: Victoria) -> None:
    sent = [
        record
        for message in send(victoria, "logs", "victorialogs.internal:9428")
        for resource in message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]

    lines = victoria.query("/select/logsql/query", query='{service.name="orders"}', start="2000-01-01", limit="1000")

    found = [json.loads(line) for line in lines.splitlines()]
    assert len(found) == len(sent) > 30
    bodies = Counter(record.body.string_value for record in sent if record.body.string_value)
    assert bodies <= Counter(entry["_msg"] for entry in found)
    assert Counter(record.trace_id.hex() for record in sent) == Counter(entry.get("trace_id", "") for entry in found)
    assert {entry["_stream"] for entry in found} == {'{service.name="orders"}'}


@pytest.mark.victoria(_VICTORIA_METRICS)
def test_delta_metrics_are_summed_as_the_recipe_says(victoria: Victoria) -> None:
    expected: Counter[str] = Counter()
    for _ in range(2):
        for message in send(victoria, "metrics", "victoriametrics.internal:8428"):
            expected += totals(message)

    # Later than now: VictoriaMetrics leaves out the last 30 s of what is stored.
    query = 'sum by (__name__) (sum_over_time({service.name="orders"}[2h]) keep_metric_names)'
    response = victoria.query("/api/v1/query", query=query, time=str(int(time.time()) + 3_600))

    found = {each["metric"]["__name__"]: float(each["value"][1]) for each in json.loads(response)["data"]["result"]}
    assert len(expected) > 10
    assert {name: found.get(name) for name in expected} == dict(expected)


def send(victoria: Victoria, signal: str, address: str) -> list[Any]:
    """Send one of everything with the recipe's variables, *address* replaced by the program's; return the messages."""
    environ = {
        name: value.replace(address, victoria.address) for name, value in variables(FOLDER / "victoria.md").items()
    }
    problems: list[str] = []
    endpoint = read_endpoints(environ, problems, signals=[signal])[signal]
    bodies = [body for path, body in converted(RECORDS_FILE.read_bytes()) if path == f"/v1/{signal}"]
    with CapturedLog() as captured:
        transport = Transport(captured.diagnostics(Clock()))
        sender = transport.sender(endpoint)
        outcomes = [transport.send(sender, body, Deadline.after(_LIMIT_S, Clock())) for body in bodies]
        transport.close()
    assert problems == []
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Response)] == [200] * len(bodies)
    return [REQUESTS[f"/v1/{signal}"].FromString(body) for body in bodies]


def totals(message: Any) -> Counter[str]:
    """Return the sum of each counter, and of the counts of each histogram, under the names of VictoriaMetrics."""
    sums: Counter[str] = Counter()
    for metric in (m for resource in message.resource_metrics for s in resource.scope_metrics for m in s.metrics):
        for point in metric.sum.data_points:
            sums[metric.name] += point.as_int
        for point in metric.histogram.data_points:
            sums[f"{metric.name}_count"] += point.count
    return sums
