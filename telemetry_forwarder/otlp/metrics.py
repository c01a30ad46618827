"""Records what Lambda measured, and our own state, in the SDK's instruments, and encodes them. No I/O, no threads."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, ExemplarReservoir, MeterProvider
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, Metric
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import METRICS, Batch
from telemetry_forwarder.invocations.completed import TIMEOUT, Completed, CompletedInvocation, CompletedPhase, LateSpans
from telemetry_forwarder.otlp.instruments import COUNTERS, HISTOGRAMS, MEMORY_SIZE
from telemetry_forwarder.otlp.metric_encoding import encode_metric
from telemetry_forwarder.otlp.protobuf import escape_surrogates, field
from telemetry_forwarder.otlp.resource import encode_resource, encode_scope
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.telemetry.records import Event, LogsDropped, PhaseSpan, Report, RestoreStart

_SCOPE = "aws.lambda"
_INSTANCE_ID = "service.instance.id"
# Lambda's name of a phase -> our histogram.
_PHASE_HISTOGRAMS = {
    "responseLatency": "lambda.response_latency",
    "responseDuration": "lambda.response_duration",
    "runtimeOverhead": "lambda.runtime_overhead",
    "extensionOverhead": "lambda.extension_overhead",
}
# Tags (field number and wire type).
_RESOURCE_METRICS, _SCOPE_METRICS, _METRIC = b"\x0a", b"\x12", b"\x12"

_DELTAS: dict[type, AggregationTemporality] = dict.fromkeys((SdkCounter, SdkHistogram), AggregationTemporality.DELTA)
# What a temporality does not name is cumulative.
# https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/#additional-environment-variable-configuration
TEMPORALITIES = {"delta": _DELTAS, "lowmemory": _DELTAS, "cumulative": {}}


class MetricEncoder:
    """Records measurements until `take`. Instruments are created when they are first used."""

    def __init__(self, resource: Resource, version: str, *, temporality: str, new_id: Callable[[int], str]) -> None:
        """*temporality* is a key of TEMPORALITIES; *new_id* returns the given number of random bytes as hex."""
        self._new_id = new_id
        self._is_cumulative = temporality == "cumulative"
        self._has_taken = False
        self._resource = resource
        self._resource_field = self._encode_resource()
        self._scope_field = encode_scope(_SCOPE, version)
        self._reader = InMemoryMetricReader(preferred_temporality=TEMPORALITIES[temporality])
        buckets = ExplicitBucketHistogramAggregation()
        provider = MeterProvider(
            [self._reader],
            resource,
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
            views=[
                View(instrument_type=SdkHistogram, aggregation=buckets, exemplar_reservoir_factory=_without_exemplars),
                View(instrument_type=SdkCounter, exemplar_reservoir_factory=_without_exemplars),
            ],
        )
        self._meter = provider.get_meter(_SCOPE, version)
        self._histograms: dict[str, Histogram] = {}
        self._counters: dict[str, Counter] = {}
        self._memory_size = self._meter.create_gauge(MEMORY_SIZE, "By", "The function's configured memory")

    def add_to_resource(self, attributes: dict[str, str]) -> None:
        """Add *attributes*, except to cumulative sums that were taken: under two resources they would count twice."""
        if attributes and not (self._is_cumulative and self._has_taken):
            self._resource = self._resource.merge(Resource(attributes))
            self._resource_field = self._encode_resource()

    def observe(self, event: Event) -> None:
        """Record what a platform event reports. Every call counts: pass each event once."""
        match event:
            case Report():
                self._record("lambda.billed_duration", event.billed_duration_s)
                self._record("lambda.restore_duration", event.restore_duration_s)
                self._record("faas.mem_usage", event.max_memory_used_bytes)
                if event.memory_size_bytes is not None:
                    self._memory_size.set(event.memory_size_bytes)
            case RestoreStart():
                # Many environments may be restored from the snapshot that contains this process.
                self._resource_field = self._encode_resource()
            case LogsDropped():
                self._count("lambda.telemetry.dropped_records", event.dropped_records)
                self._count("lambda.telemetry.dropped_bytes", event.dropped_bytes)

    def observe_completed(self, completed: Iterable[Completed]) -> None:
        """Record invocations and phases that have completed."""
        for outcome in completed:
            match outcome:
                case CompletedInvocation():
                    self._record_invocation(outcome)
                case CompletedPhase():
                    if outcome.is_late_cold_start:
                        self._count("faas.coldstarts", 1)
                    if outcome.kind == "init":
                        self._record("faas.init_duration", outcome.duration_s, _error_attributes(outcome.failure))
                    self._record_phases(outcome.spans)
                case LateSpans():  # pragma: no branch  # there is no other case
                    if outcome.is_late_cold_start:
                        self._count("faas.coldstarts", 1)
                    self._record_phases(outcome.spans)

    def add_self_metrics(self, measurements: Iterable[Measurement]) -> None:
        """Record our own state. Up-down counters are left out unless the temporality is cumulative."""
        for own in measurements:
            if own.is_counter:
                self._meter.create_counter(own.name, own.unit).add(own.value, dict(own.attributes))
            elif self._is_cumulative:
                # They are never deltas, and without an instance id the environments would overwrite each other's.
                self._meter.create_up_down_counter(own.name, own.unit).add(own.value, dict(own.attributes))

    def take(self) -> Batch | None:
        """Return one batch with every metric that has data points; None if there are none."""
        metrics = self._collect()
        points = sum(len(metric.data.data_points) for metric in metrics)
        if not points:
            return None
        self._has_taken = True
        fields = [field(_METRIC, encode_metric(metric)) for metric in metrics]
        scope_metrics = field(_SCOPE_METRICS, b"".join([self._scope_field, *fields]))
        return Batch(METRICS, field(_RESOURCE_METRICS, self._resource_field + scope_metrics), points)

    def _collect(self) -> list[Metric]:
        data = self._reader.get_metrics_data()
        return [
            metric
            for resource_metrics in (data.resource_metrics if data else ())
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
        ]

    def _encode_resource(self) -> bytes:
        """Encode the resource; cumulative sums get an instance id, unless the user has set one.

        Environments that report cumulative sums under one resource would overwrite each other's at the endpoint.
        https://opentelemetry.io/docs/specs/semconv/registry/attributes/service/#service-instance-id
        """
        if not self._is_cumulative or _INSTANCE_ID in self._resource.attributes:
            return encode_resource(self._resource)
        instance_id = str(uuid.UUID(hex=self._new_id(16), version=4))
        return encode_resource(self._resource.merge(Resource({_INSTANCE_ID: instance_id})))

    def _record_invocation(self, outcome: CompletedInvocation) -> None:
        if outcome.status == TIMEOUT:
            self._count("faas.timeouts", 1)
        elif outcome.error_type:
            self._count("faas.errors", 1, _error_attributes(outcome.error_type))
        else:
            self._count("faas.invocations", 1)
        if outcome.has_run_out_of_memory:
            self._count("lambda.out_of_memory", 1)
        if outcome.is_cold:
            self._count("faas.coldstarts", 1)
        self._record("faas.invoke_duration", outcome.duration_s, _error_attributes(outcome.error_type))
        self._record("lambda.produced_bytes", outcome.produced_bytes)
        self._record_phases(outcome.spans)

    def _record_phases(self, phases: Iterable[PhaseSpan]) -> None:
        for phase in phases:
            if phase.name in _PHASE_HISTOGRAMS:
                self._record(_PHASE_HISTOGRAMS[phase.name], phase.duration_s)

    def _record(self, name: str, value: float | None, attributes: dict[str, str] | None = None) -> None:
        if value is None:
            return
        if name not in self._histograms:
            unit, bounds, description = HISTOGRAMS[name]
            self._histograms[name] = self._meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=bounds
            )
        self._histograms[name].record(value, attributes or {})

    def _count(self, name: str, amount: int, attributes: dict[str, str] | None = None) -> None:
        if name not in self._counters:
            unit, description = COUNTERS[name]
            self._counters[name] = self._meter.create_counter(name, unit, description)
        self._counters[name].add(amount, attributes or {})


def _error_attributes(error_type: str) -> dict[str, str]:
    return {"error.type": escape_surrogates(error_type)} if error_type else {}


# Workaround for a cost of the SDK: though exemplars are off, it makes a reservoir for each data point, with a place for
# every bucket, and makes it again after each collection.


class _NoExemplars(ExemplarReservoir):
    def offer(self, *_measurement: Any) -> None:
        """Never called: the filter is AlwaysOff."""

    def collect(self, point_attributes: Any) -> list[Any]:
        return []


_NO_EXEMPLARS = _NoExemplars()


def _without_exemplars(_aggregation: Any) -> Any:
    return lambda **_parameters: _NO_EXEMPLARS
