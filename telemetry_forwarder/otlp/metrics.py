"""What is over, and what Lambda measured -> metrics, through the SDK's Meter. No I/O and no thread.

Names, instruments, units and bounds are the FaaS conventions', https://opentelemetry.io/docs/specs/semconv/faas/faas-metrics/;
what they lack is under `lambda.`. Seconds and bytes only.
"""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, ExemplarReservoir, MeterProvider
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics import UpDownCounter as SdkUpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import METRICS, Batch
from telemetry_forwarder.invocations.completed import (
    TIMEOUT,
    Completed,
    CompletedInvocation,
    CompletedPhase,
    LateSpans,
)
from telemetry_forwarder.otlp.common import clean, resource_field, scope_field
from telemetry_forwarder.otlp.metric_encoding import metric_bytes
from telemetry_forwarder.otlp.protobuf import field
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.telemetry.records import Event, LogsDropped, PhaseSpan, Report, RestoreStart

SCOPE = "aws.lambda"
SECONDS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
# The conventions advise none for bytes, and the SDK's default ends at 10,000. Lambda's memory: 128 MB to 10,240 MB.
_MB = 1_048_576
MEMORY_BOUNDS = tuple(size * _MB for size in (32, 64, 128, 256, 512, 1024, 2048, 4096, 6144, 8192, 10240))
# A response is at most 6 MB, a streamed one 200 MB.
PAYLOAD_BOUNDS = (0, 1024, 16_384, 131_072, _MB, 6 * _MB, 20 * _MB, 200 * _MB)

# Lambda's name of a phase -> ours.
PHASE_HISTOGRAMS = {
    "responseLatency": "lambda.response_latency",
    "responseDuration": "lambda.response_duration",
    "runtimeOverhead": "lambda.runtime_overhead",
    "extensionOverhead": "lambda.extension_overhead",
}
HISTOGRAMS = {
    "faas.invoke_duration": ("s", SECONDS_BOUNDS, "How long the function took"),
    "faas.init_duration": ("s", SECONDS_BOUNDS, "How long the environment's init took"),
    "faas.mem_usage": ("By", MEMORY_BOUNDS, "The environment's highest memory use so far"),
    "lambda.billed_duration": ("s", SECONDS_BOUNDS, "What an invocation is billed for"),
    "lambda.restore_duration": ("s", SECONDS_BOUNDS, "How long it took to restore the snapshot"),
    "lambda.response_latency": ("s", SECONDS_BOUNDS, "Until the first byte of the response"),
    "lambda.response_duration": ("s", SECONDS_BOUNDS, "From the first byte of the response to its last"),
    "lambda.runtime_overhead": ("s", SECONDS_BOUNDS, "From the response until the runtime was done"),
    "lambda.extension_overhead": (
        "s",
        SECONDS_BOUNDS,
        "From the runtime's end until all extensions were done",
    ),
    "lambda.produced_bytes": ("By", PAYLOAD_BOUNDS, "Size of the response"),
}
COUNTERS = {
    "faas.invocations": ("{invocation}", "Invocations that went well"),
    "faas.errors": ("{error}", "Invocations that failed, a handler's exceptions included"),
    "faas.timeouts": ("{timeout}", "Invocations that timed out"),
    "faas.coldstarts": ("{coldstart}", "Invocations that waited for an init or a restore"),
    "lambda.out_of_memory": ("{invocation}", "Invocations that ran out of memory"),
    "lambda.telemetry.dropped_records": ("{record}", "Telemetry that Lambda itself dropped"),
    "lambda.telemetry.dropped_bytes": ("By", "Telemetry that Lambda itself dropped"),
}
MEMORY_SIZE = "lambda.memory_size"
_INSTANCE = "service.instance.id"
# Tags of the fields around them.
_RESOURCE_METRICS, _SCOPE_METRICS, _METRIC = b"\x0a", b"\x12", b"\x12"

_DELTA, _CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
# https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/#additional-environment-variable-configuration
TEMPORALITIES: dict[str, dict[type, AggregationTemporality]] = {
    "delta": {SdkCounter: _DELTA, SdkHistogram: _DELTA, SdkUpDownCounter: _CUMULATIVE},
    "lowmemory": {SdkCounter: _DELTA, SdkHistogram: _DELTA, SdkUpDownCounter: _CUMULATIVE},
    "cumulative": {SdkCounter: _CUMULATIVE, SdkHistogram: _CUMULATIVE, SdkUpDownCounter: _CUMULATIVE},
}


class _NoExemplars(ExemplarReservoir):
    """For histograms and counters: the SDK would make one for each point, with a place for every bucket."""

    def offer(self, *_measurement: Any) -> None:
        pass

    def collect(self, point_attributes: Any) -> list[Any]:
        return []


_NO_EXEMPLARS = _NoExemplars()


def _without_exemplars(_aggregation: Any) -> Any:
    return lambda **_parameters: _NO_EXEMPLARS


class MetricEncoder:
    """Records into the SDK's instruments, and reads them out at each `take`."""

    def __init__(
        self,
        resource: Resource,
        version: str,
        *,
        temporality: str,
        new_id: Callable[[int], str],
    ) -> None:
        """*new_id*: n random bytes as hex."""
        self._new_id = new_id
        self._has_levels = temporality == "cumulative"
        self._is_named = self._has_levels and _INSTANCE not in resource.attributes
        self._resource = resource
        self._resource_field = resource_field(self._named())
        self._scope_field = scope_field(SCOPE, version)
        self._reader = InMemoryMetricReader(preferred_temporality=TEMPORALITIES[temporality])
        provider = MeterProvider(
            [self._reader],
            resource,
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
            views=[
                View(
                    instrument_type=SdkHistogram,
                    aggregation=ExplicitBucketHistogramAggregation(),
                    exemplar_reservoir_factory=_without_exemplars,
                ),
                View(instrument_type=SdkCounter, exemplar_reservoir_factory=_without_exemplars),
            ],
        )
        self._meter = provider.get_meter(SCOPE, version)
        self._histograms: dict[str, Histogram] = {}
        self._counters: dict[str, Counter] = {}
        self._memory_size = self._meter.create_gauge(MEMORY_SIZE, "By", "The function's configured memory")

    def observe(self, event: Event) -> None:
        """Record what a platform event itself measures. Each telling counts: give it each event once."""
        match event:
            case Report():
                self._record("lambda.billed_duration", event.billed_duration_s)
                self._record("lambda.restore_duration", event.restore_duration_s)
                self._record("faas.mem_usage", event.max_memory_used_bytes)
                if event.memory_size_bytes is not None:
                    self._memory_size.set(event.memory_size_bytes)
            case RestoreStart():
                # The process was frozen into a snapshot that many environments may have begun with.
                self._resource_field = resource_field(self._named())
            case LogsDropped():
                self._add("lambda.telemetry.dropped_records", event.dropped_records)
                self._add("lambda.telemetry.dropped_bytes", event.dropped_bytes)
            case _:
                pass

    def finish(self, finished: Iterable[Completed]) -> None:
        """Record what is over."""
        for outcome in finished:
            match outcome:
                case CompletedInvocation():
                    self._finish_invocation(outcome)
                case CompletedPhase():
                    if outcome.kind == "init":
                        self._record("faas.init_duration", outcome.duration_s)
                    self._record_phases(outcome.spans)
                case LateSpans():  # pragma: no branch  # there is no other
                    self._record_phases(outcome.spans)

    def measure(self, measurements: Iterable[Measurement]) -> None:
        """Record our own state."""
        for own in measurements:
            if own.is_counter:
                counter = self._meter.create_counter(own.name, own.unit)
                counter.add(own.value, dict(own.attributes))
            elif self._has_levels:
                # A level is never a delta, and without an instance's id the environments' levels would collide.
                self._meter.create_up_down_counter(own.name, own.unit).add(own.value, dict(own.attributes))

    def take(self) -> Batch | None:
        """One batch with every metric that has something to say; None if none has."""
        read = self._reader.get_metrics_data()
        metrics = [
            metric
            for of_resource in (read.resource_metrics if read else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        ]
        points = sum(len(metric.data.data_points) for metric in metrics)
        if not points:
            return None
        scope = b"".join([self._scope_field, *(field(_METRIC, metric_bytes(metric)) for metric in metrics)])
        body = field(_RESOURCE_METRICS, self._resource_field + field(_SCOPE_METRICS, scope))
        return Batch(METRICS, body, points)

    def _named(self) -> Resource:
        """The resource, with a name of its own for this environment if one is needed.

        Sums of an environment's whole life, under one name, would overwrite each other at the endpoint.
        https://opentelemetry.io/docs/specs/semconv/registry/attributes/service/#service-instance-id
        """
        if not self._is_named:
            return self._resource
        name = str(uuid.UUID(hex=self._new_id(16), version=4))
        return self._resource.merge(Resource({_INSTANCE: name}))

    def _finish_invocation(self, outcome: CompletedInvocation) -> None:
        if outcome.status == TIMEOUT:
            self._add("faas.timeouts", 1)
        elif outcome.error_type:
            self._add("faas.errors", 1, {"error.type": clean(outcome.error_type)})
        else:
            self._add("faas.invocations", 1)
        if outcome.has_run_out_of_memory:
            self._add("lambda.out_of_memory", 1)
        if outcome.is_cold:
            self._add("faas.coldstarts", 1)
        self._record("faas.invoke_duration", outcome.duration_s)
        self._record("lambda.produced_bytes", outcome.produced_bytes)
        self._record_phases(outcome.spans)

    def _record_phases(self, phases: Iterable[PhaseSpan]) -> None:
        for phase in phases:
            if phase.name in PHASE_HISTOGRAMS:
                self._record(PHASE_HISTOGRAMS[phase.name], phase.duration_s)

    def _record(self, name: str, value: float | None) -> None:
        if value is None:
            return
        if name not in self._histograms:
            unit, bounds, description = HISTOGRAMS[name]
            self._histograms[name] = self._meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=bounds
            )
        self._histograms[name].record(value)

    def _add(self, name: str, amount: int, attributes: dict[str, str] | None = None) -> None:
        if name not in self._counters:
            unit, description = COUNTERS[name]
            self._counters[name] = self._meter.create_counter(name, unit, description)
        self._counters[name].add(amount, attributes or {})
