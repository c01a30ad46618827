"""Records what Lambda measured, and our own state, in our instruments, and encodes their metrics. Pure."""

import uuid
from collections.abc import Callable, Iterable

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import METRICS, Batch
from telemetry_forwarder.invocations.completed import TIMEOUT, Completed, CompletedInvocation, CompletedPhase, LateSpans
from telemetry_forwarder.otlp.aggregator import Aggregator, Attributes
from telemetry_forwarder.otlp.instruments import INSTRUMENTS, MEMORY_SIZE, Instrument, Kind
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


class MetricEncoder:
    """Records measurements until `take`."""

    def __init__(
        self, resource: Resource, version: str, aggregator: Aggregator, *, new_id: Callable[[int], str]
    ) -> None:
        """*new_id* returns the given number of random bytes as hex."""
        self._has_taken = False
        self._resource = resource
        self._aggregator = aggregator
        self._new_id = new_id
        self._resource_field = self._encode_resource()
        self._scope_field = encode_scope(_SCOPE, version)

    def add_to_resource(self, attributes: dict[str, str]) -> None:
        """Add *attributes*, except to cumulative sums that were taken: under two resources they would count twice."""
        if attributes and (self._aggregator.is_delta or not self._has_taken):
            self._resource = self._resource.merge(Resource(attributes))
            self._resource_field = self._encode_resource()

    def observe(self, event: Event) -> None:
        """Record what a platform event reports. Every call counts: pass each event once."""
        match event:
            case Report():
                self._record("lambda.billed_duration", event.billed_duration_s)
                self._record("lambda.restore_duration", event.restore_duration_s)
                self._record("faas.mem_usage", event.max_memory_used_bytes)
                self._record(MEMORY_SIZE, event.memory_size_bytes)
            case RestoreStart():
                # Many environments may be restored from the snapshot that contains this process.
                self._resource_field = self._encode_resource()
            case LogsDropped():
                self._record("lambda.telemetry.dropped_records", event.dropped_records)
                self._record("lambda.telemetry.dropped_bytes", event.dropped_bytes)

    def observe_completed(self, completed: Iterable[Completed]) -> None:
        """Record invocations and phases that have completed."""
        for outcome in completed:
            match outcome:
                case CompletedInvocation():
                    self._record_invocation(outcome)
                case CompletedPhase():
                    if outcome.is_late_cold_start:
                        self._record("faas.coldstarts", 1)
                    if outcome.kind == "init":
                        self._record("faas.init_duration", outcome.duration_s, _error_attributes(outcome.failure))
                    self._record_phases(outcome.spans)
                case LateSpans():  # pragma: no branch  # there is no other case
                    if outcome.is_late_cold_start:
                        self._record("faas.coldstarts", 1)
                    self._record_phases(outcome.spans)

    def add_self_metrics(self, measurements: Iterable[Measurement]) -> None:
        """Record our own state. Up-down counters are left out unless the temporality is cumulative."""
        for own in measurements:
            # Those are never deltas, and without an instance id the environments would overwrite each other's.
            if own.is_counter or not self._aggregator.is_delta:
                kind = Kind.COUNTER if own.is_counter else Kind.UP_DOWN_COUNTER
                self._aggregator.record(Instrument(own.name, own.unit, kind), own.value, own.attributes)

    def take(self) -> Batch | None:
        """Return one batch with every metric that has data points; None if there are none."""
        metrics, points = self._aggregator.collect()
        if not points:
            return None
        self._has_taken = True
        fields = [field(_METRIC, metric.SerializeToString()) for metric in metrics]
        scope_metrics = field(_SCOPE_METRICS, b"".join([self._scope_field, *fields]))
        return Batch(METRICS, field(_RESOURCE_METRICS, self._resource_field + scope_metrics), points)

    def _encode_resource(self) -> bytes:
        """Encode the resource; cumulative sums get an instance id, unless the user has set one.

        Environments that report cumulative sums under one resource would overwrite each other's at the endpoint.
        https://opentelemetry.io/docs/specs/semconv/registry/attributes/service/#service-instance-id
        """
        if self._aggregator.is_delta or _INSTANCE_ID in self._resource.attributes:
            return encode_resource(self._resource)
        instance_id = str(uuid.UUID(hex=self._new_id(16), version=4))
        return encode_resource(self._resource.merge(Resource({_INSTANCE_ID: instance_id})))

    def _record_invocation(self, outcome: CompletedInvocation) -> None:
        if outcome.status == TIMEOUT:
            self._record("faas.timeouts", 1)
        elif outcome.error_type:
            self._record("faas.errors", 1, _error_attributes(outcome.error_type))
        else:
            self._record("faas.invocations", 1)
        if outcome.has_run_out_of_memory:
            self._record("lambda.out_of_memory", 1)
        if outcome.is_cold:
            self._record("faas.coldstarts", 1)
        self._record("faas.invoke_duration", outcome.duration_s, _error_attributes(outcome.error_type))
        self._record("lambda.produced_bytes", outcome.produced_bytes)
        self._record_phases(outcome.spans)

    def _record_phases(self, phases: Iterable[PhaseSpan]) -> None:
        for phase in phases:
            if phase.name in _PHASE_HISTOGRAMS:
                self._record(_PHASE_HISTOGRAMS[phase.name], phase.duration_s)

    def _record(self, name: str, value: float | None, attributes: Attributes | None = None) -> None:
        if value is not None:
            self._aggregator.record(INSTRUMENTS[name], value, attributes or {})


def _error_attributes(error_type: str) -> Attributes:
    return {"error.type": escape_surrogates(error_type)} if error_type else {}
