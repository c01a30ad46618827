"""Makes requests with one item each, which is marked as that of a check. Pure."""

from collections.abc import Callable

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.core.version import VERSION
from telemetry_forwarder.otlp.resource import encode_resource, encode_scope

NAME = "telemetry-forwarder check"
"""The body of the log record, and the name of the span."""
MARK = "telemetry_forwarder.check"
"""The attribute of each item, and the name of the metric."""
_SECOND_NS = 1_000_000_000


@frozen
class ItemMaker:
    """Makes the item of each signal."""

    resource: Resource
    temporality: str
    unix_ns: Callable[[], int]
    new_id: Callable[[int], bytes]
    """Returns that many random bytes."""

    def batch(self, signal: str) -> Batch:
        """Return a request with one item of *signal*."""
        make = {LOGS: self._log_record, SPANS: self._span, METRICS: self._data_point}[signal]
        return Batch(signal, make(), 1)

    def _log_record(self) -> bytes:
        request = ExportLogsServiceRequest()
        of_resource = request.resource_logs.add()
        of_resource.MergeFromString(encode_resource(self.resource))
        of_scope = of_resource.scope_logs.add()
        of_scope.MergeFromString(encode_scope(NAME, VERSION))
        now_ns = self.unix_ns()
        record = of_scope.log_records.add(time_unix_nano=now_ns, observed_time_unix_nano=now_ns, severity_text="INFO")
        record.severity_number = SeverityNumber.SEVERITY_NUMBER_INFO
        record.body.string_value = NAME
        record.attributes.add(key=MARK).value.bool_value = True
        return request.SerializeToString()

    def _span(self) -> bytes:
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        of_resource.MergeFromString(encode_resource(self.resource))
        of_scope = of_resource.scope_spans.add()
        of_scope.MergeFromString(encode_scope(NAME, VERSION))
        now_ns = self.unix_ns()
        span = of_scope.spans.add(name=NAME, trace_id=self.new_id(16), span_id=self.new_id(8))
        span.start_time_unix_nano, span.end_time_unix_nano = now_ns - _SECOND_NS, now_ns
        span.attributes.add(key=MARK).value.bool_value = True
        return request.SerializeToString()

    def _data_point(self) -> bytes:
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add()
        of_resource.MergeFromString(encode_resource(self.resource))
        of_scope = of_resource.scope_metrics.add()
        of_scope.MergeFromString(encode_scope(NAME, VERSION))
        counter = of_scope.metrics.add(name=MARK, unit="{check}").sum
        counter.is_monotonic = True
        is_cumulative = self.temporality == "cumulative"
        counter.aggregation_temporality = (
            AGGREGATION_TEMPORALITY_CUMULATIVE if is_cumulative else AGGREGATION_TEMPORALITY_DELTA
        )
        now_ns = self.unix_ns()
        point = counter.data_points.add(start_time_unix_nano=now_ns - _SECOND_NS, time_unix_nano=now_ns, as_int=1)
        point.attributes.add(key=MARK).value.bool_value = True
        return request.SerializeToString()
