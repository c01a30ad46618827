"""Lines of real runtimes and loggers, and what each of them says: one file in `cases` for each kind.

A file holds one record of the function, or all events of a post; where it comes from; and what is right.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.settings import Settings
from tests.support import otlp_messages as otlp
from tests.support.posts import OBSERVED_NS
from tests.support.stories import counted_ids

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))


def events_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    if "events" in case:
        return list(case["events"])
    starts = case["starts"]
    request_id = starts[0]["requestId"]
    done = {"requestId": request_id, "status": "success", "metrics": {"durationMs": 100}}
    return [
        *[{"time": "2026-09-22T06:30:00.000Z", "type": "platform.start", "record": start} for start in starts],
        {"time": "2026-09-22T06:30:00.100Z", "type": "function", "record": case["record"]},
        {"time": "2026-09-22T06:30:00.200Z", "type": "platform.runtimeDone", "record": done},
        {"time": "2026-09-22T06:30:00.210Z", "type": "platform.report", "record": done},
    ]


def converted(case: dict[str, Any]) -> list[Batch]:
    converter = Converter(
        Settings({}),
        Resource({"faas.name": "orders"}),
        Ledger(),
        version="0",
        temporality="delta",
        is_managed=case["managed"],
        new_id=counted_ids(),
        unix_ns=lambda: OBSERVED_NS,
    )
    # As Lambda writes it.
    body = json.dumps(events_of(case), separators=(",", ":")).encode()
    return [*converter.convert(body, OBSERVED_NS).batches, *converter.collect(OBSERVED_NS)]


def facts(case: dict[str, Any]) -> dict[str, Any]:
    """Return what was made of *case*, under the names that the files use."""
    found: dict[str, Any] = {"error": None}
    for batch in converted(case):
        if batch.signal == LOGS:
            (record,) = [one for *_, one in otlp.log_records(ExportLogsServiceRequest.FromString(batch.body))]
            keys = [pair.key for pair in record.attributes]
            assert (len(set(keys)), "" in keys) == (len(keys), False)
            found |= {
                "severity": record.severity_number,
                "body": otlp.plain(record.body),
                "attributes": otlp.attributes(record.attributes),
                "trace_id": record.trace_id.hex(),
                "span_id": record.span_id.hex(),
            }
        elif batch.signal == SPANS:
            for *_, span in otlp.spans(ExportTraceServiceRequest.FromString(batch.body)):
                if span.status.code == Status.STATUS_CODE_ERROR:
                    found["error"] = [otlp.attributes(span.attributes)["error.type"], span.status.message]
                if span.name == "init":
                    found["init_s"] = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        else:
            assert batch.signal == METRICS
            metrics = [one for *_, one in otlp.metrics(ExportMetricsServiceRequest.FromString(batch.body))]
            found["errors"] = [
                otlp.attributes(point.attributes)["error.type"]
                for metric in metrics
                if metric.name == "faas.errors"
                for point in metric.sum.data_points
            ]
            found["has_succeeded"] = any(metric.name == "faas.invocations" for metric in metrics)
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_line_says_what_it_says(path: Path) -> None:
    case = json.loads(path.read_text())
    expected = case["expected"]

    found = facts(case)

    assert {key: found[key] for key in expected if key != "attributes"} == {
        key: value for key, value in expected.items() if key != "attributes"
    }
    attributes = expected.get("attributes", {})
    assert {key: found["attributes"].get(key) for key in attributes} == attributes
    error = expected.get("error")
    if "events" in case:
        return
    assert (found["errors"], found["has_succeeded"]) == ([error[0]] if error else [], not error)
