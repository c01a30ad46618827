"""A collector used in production decodes our OTLP without any difference."""

from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from layer.recipe import elf
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint
from telemetry_forwarder.transport.client import Transport
from telemetry_forwarder.transport.outcome import Response
from tests.conformance.conversion import RECORDS_FILE, converted
from tests.conformance.requirements import rotel_binary
from tests.conformance.rotel import Rotel
from tests.support.captured_log import CapturedLog
from tests.support.otlp_messages import LOGS, METRICS, REQUESTS, SPANS

ARRIVAL_LIMIT_S = 60.0
TRACE_ID, SPAN_ID, PARENT_ID = bytes(range(16)), bytes(range(8)), bytes(range(1, 9))

VALUES = {
    "text": AnyValue(string_value="plain"),
    "empty text": AnyValue(string_value=""),
    "odd text": AnyValue(string_value='a\nb\n     -> c: Str(d)\n\t"e" \\ é ☃ 😀 \x00\x1b)'),
    "int": AnyValue(int_value=-42),
    "largest int": AnyValue(int_value=2**63 - 1),
    "whole double": AnyValue(double_value=1.0),
    "double": AnyValue(double_value=-1e-300),
    "infinity": AnyValue(double_value=float("inf")),
    "bool": AnyValue(bool_value=True),
    "false": AnyValue(bool_value=False),
    "bytes": AnyValue(bytes_value=b"\x00\xff"),
    "nothing": AnyValue(),
    "list": AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(), AnyValue(double_value=2)])),
    "empty list": AnyValue(array_value=ArrayValue()),
    "object": AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a b", value=AnyValue(bool_value=True))])),
    "empty object": AnyValue(kvlist_value=KeyValueList()),
}
ATTRIBUTES = [KeyValue(key=key, value=value) for key, value in VALUES.items()]


def log_request() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add(schema_url="https://opentelemetry.io/schemas/1.44.0")
    resource.resource.attributes.extend(ATTRIBUTES)
    scope = resource.scope_logs.add()
    scope.scope.name, scope.scope.version = "aws.lambda.function", "1.0"
    for value in VALUES.values():
        scope.log_records.add(
            time_unix_nano=1795408250565123456,
            observed_time_unix_nano=1795408250565123457,
            severity_number=SeverityNumber.SEVERITY_NUMBER_WARN,
            severity_text="WARNING",
            body=value,
            attributes=ATTRIBUTES,
            trace_id=TRACE_ID,
            span_id=SPAN_ID,
            flags=1,
            event_name="platform.report",
        )
    return request


def span_request() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    span = scope.spans.add(
        name="orders",
        kind=Span.SPAN_KIND_SERVER,
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_span_id=PARENT_ID,
        trace_state="a=b",
        flags=0x101,
        start_time_unix_nano=1795408250565123456,
        end_time_unix_nano=1795408251565123456,
        attributes=ATTRIBUTES,
    )
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "out\nof memory"
    span.links.add(trace_id=TRACE_ID, span_id=PARENT_ID, attributes=ATTRIBUTES)
    span.events.add(name="exception", time_unix_nano=1795408250565123999, attributes=ATTRIBUTES)
    return request


def metric_request() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    times: Any = {"start_time_unix_nano": 1795408250565123456, "time_unix_nano": 1795408251565123456}
    counter = scope.metrics.add(name="faas.errors", unit="{error}", description="of the function")
    counter.sum.is_monotonic, counter.sum.aggregation_temporality = True, AGGREGATION_TEMPORALITY_DELTA
    counter.sum.data_points.add(as_int=3, attributes=ATTRIBUTES, **times)
    counter.sum.data_points.add(as_double=3.0, **times)
    histogram = scope.metrics.add(name="faas.invoke_duration", unit="s")
    histogram.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    histogram.histogram.data_points.add(
        count=3, sum=1.5, min=0.1, max=1.0, bucket_counts=[0, 2, 1], explicit_bounds=[0.5, 1.0], **times
    )
    histogram.histogram.data_points.add(count=0, bucket_counts=[0], **times)
    gauge = scope.metrics.add(name="faas.memory", unit="By")
    gauge.gauge.data_points.add(as_int=2**63 - 1, **times)
    return request


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param(LOGS, log_request(), id="logs"),
        pytest.param(SPANS, span_request(), id="spans"),
        pytest.param(METRICS, metric_request(), id="metrics"),
    ],
)
def test_every_type_of_value_is_decoded_unchanged(rotel: Rotel, path: str, message: Any) -> None:
    status = post(rotel, path, message.SerializeToString())

    assert status == 200
    assert forwarded(rotel, path, 1) == [message]


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize(
    ("signal", "path", "message"),
    [("logs", LOGS, log_request()), ("traces", SPANS, span_request()), ("metrics", METRICS, metric_request())],
)
def test_our_grpc_client_is_understood(rotel: Rotel, signal: str, path: str, message: Any, compression: str) -> None:
    endpoint = Endpoint(signal, f"{rotel.grpc_endpoint}/", protocol=GRPC, compression=compression)
    # Larger than the windows of HTTP/2.
    large = type(message)()
    for _ in range(200):
        large.MergeFrom(message)
    with CapturedLog() as captured:
        transport = Transport(captured.diagnostics(Clock()))
        sender = transport.sender(endpoint)
        outcomes = [
            transport.send(sender, each.SerializeToString(), Deadline.after(ARRIVAL_LIMIT_S, Clock()))
            for each in (message, large, message)
        ]
        transport.close()

    assert [outcome.status for outcome in outcomes if isinstance(outcome, Response)] == [200] * 3
    received = sorted(forwarded(rotel, path, 3), key=lambda each: each.ByteSize())
    assert received == [message, message, large]


def test_request_that_is_too_large_is_refused_as_over_http(rotel: Rotel) -> None:
    body = ExportLogsServiceRequest()
    records = body.resource_logs.add().scope_logs.add().log_records
    records.add().body.string_value = "x" * 5_000_000
    with CapturedLog() as captured:
        transport = Transport(captured.diagnostics(Clock()))
        endpoint = Endpoint("logs", f"{rotel.grpc_endpoint}/", protocol=GRPC, compression="none")
        deadline = Deadline.after(ARRIVAL_LIMIT_S, Clock())
        outcome = transport.send(transport.sender(endpoint), body.SerializeToString(), deadline)
        transport.close()

    assert isinstance(outcome, Response)
    assert outcome.status == 413


def test_everything_we_produce_is_decoded_unchanged(rotel: Rotel) -> None:
    batches = converted(RECORDS_FILE.read_bytes()) + converted(b'[{"time": "2026-10-08T06:30:00Z", "type": "func')
    sent = {path: [REQUESTS[path].FromString(body) for at, body in batches if at == path] for path in REQUESTS}

    statuses = {post(rotel, path, body) for path, body in batches}

    assert statuses == {200}
    assert all(sent.values())
    assert {path: forwarded(rotel, path, len(messages)) for path, messages in sent.items()} == sent


def test_program_needs_no_shared_library_of_python() -> None:
    assert [name for name in elf.read(rotel_binary()).needed if name.startswith("libpython")] == []


def post(rotel: Rotel, path: str, body: bytes) -> int:
    headers = {"Content-Type": "application/x-protobuf"}
    return httpx.post(rotel.endpoint + path, content=body, headers=headers, trust_env=False).status_code


def forwarded(rotel: Rotel, path: str, count: int) -> list[Any]:
    """Return the first *count* requests to *path* as rotel decoded and forwarded them."""

    def messages() -> list[Any]:
        return [request.message for request in rotel.collector.requests if request.path == path]

    assert rotel.collector.wait_for(lambda: len(messages()) >= count, ARRIVAL_LIMIT_S), messages()
    return messages()
