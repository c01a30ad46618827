"""Posts in, encoded batches out: decodes, joins and converts. No I/O, no clock; never raises on what Lambda says."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.log_lines import NOT_WANTED, LogLines
from telemetry_forwarder.conversion.platform_logs import PlatformLogs
from telemetry_forwarder.core.batch import LOGS, Batch
from telemetry_forwarder.invocations.tracker import InvocationTracker
from telemetry_forwarder.otlp.log_encoding import observed_field
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.otlp.metrics import MetricEncoder
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.otlp.spans import SpanEncoder
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.decoder import Decoder, read_record
from telemetry_forwarder.telemetry.records import (
    Event,
    InitStart,
    LogLine,
    LogsDropped,
    Malformed,
    Record,
    Report,
    RuntimeDone,
)

# So many events are made into spans and metrics at once; each waits in less than a kilobyte.
_MANY = 2_000
# A piece of a cut record comes in the same post as its rest or in the next one.
_LONGEST_WAIT_FOR_REST_NS = 10_000_000_000


class Converter:
    """All that stands between a post of Lambda's and the outbox."""

    def __init__(
        self,
        settings: Settings,
        resource: Resource,
        ledger: Ledger,
        *,
        version: str,
        temporality: str,
        is_managed: bool,
        new_id: Callable[[int], str],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._decoder = Decoder()
        self._invocations = InvocationTracker(is_managed=is_managed, new_id=new_id)
        # What is larger than the outbox is not held there.
        batch_bytes = min(settings.batch_bytes, settings.outbox_bytes // 2)
        self._logs = LogEncoder(resource, version, batch_bytes=batch_bytes, batch_items=settings.batch_items)
        self._lines = LogLines(settings, self._logs, self._invocations, ledger)
        self._spans = SpanEncoder(
            resource, version, trace_parent=settings.trace_parent, sampling=settings.sampling, new_id=new_id
        )
        self._metrics = MetricEncoder(resource, version, temporality=temporality, new_id=new_id)
        self._ended: list[str] = []
        self._reported: list[str] = []
        self._news = 0
        self._platform_logs = PlatformLogs(settings)
        self._has_logs = "logs" in settings.signals
        self._has_spans = "spans" in settings.signals
        self._has_metrics = "metrics" in settings.signals

    def take_in(self, body: bytes, observed_ns: int) -> list[Batch]:
        """Convert a post and return its log batches. Spans and metrics wait for `take`."""
        events = self._decoder.load_events(body)
        if events is not None:
            self._add_events(events, observed_ns)
        else:
            self._add_all(self._decoder.decode_stepwise(body, observed_ns))
        return self._logs.take()

    def take_in_past(self, body: bytes, observed_ns: int) -> list[Batch]:
        """Convert a post that an earlier life had no time for: to logs alone, for it has given spans and metrics."""
        decoder = Decoder()
        records = [*decoder.decode(body, observed_ns), *decoder.release()]
        self._ledger.records_received(len(records))
        if not self._has_logs:
            self._ledger.filtered(LOGS, len(records), NOT_WANTED)
            return []
        for record in records:
            self._add_past(record)
        return self._logs.take()

    def _add_past(self, record: Record) -> None:
        match record:
            case LogLine():
                self._lines.add_alone(record)
            case Malformed():
                self._logs.add_malformed(record)
            case Event():
                self._logs.add_event(record, None)

    def invoked(self, request_id: str, arn: str, trace_header: str, at_ns: int) -> None:
        self._lines.forget()
        self._invocations.observe_invoke(request_id, arn=arn, trace_header=trace_header, at_ns=at_ns)

    def has_ended(self, request_id: str) -> bool:
        """Whether Lambda has said that the runtime is done with this invocation."""
        return self._invocations.has_ended(request_id)

    def take_ended(self) -> list[str]:
        """Request ids of the invocations whose runtimeDone has come since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    def take_reported(self) -> list[str]:
        """The same for platform.report."""
        reported, self._reported = self._reported, []
        return reported

    @property
    def holds_piece(self) -> bool:
        """Whether a record that Lambda has cut waits for its rest."""
        return self._decoder.incomplete_count > 0

    @property
    def has_something(self) -> bool:
        """Whether `take` may have something to give."""
        return self._news > 0

    @property
    def has_much(self) -> bool:
        """Whether it is time to `take`, flush or no flush: what waits here is in nobody's bound."""
        return self._news >= _MANY

    def shut_down(self, reason: str, at_ns: int) -> None:
        """Nothing more will come: what is open ends, what is held is let out."""
        self._lines.forget()
        self._invocations.shut_down(reason, at_ns)
        self._add_all(self._decoder.release())

    def take(self, now_ns: int, own: list[Measurement]) -> list[Batch]:
        """What there is to deliver beside what `take_in` gave: spans, metrics, fragments that waited in vain."""
        self._add_all(self._decoder.release(observed_before_ns=now_ns - _LONGEST_WAIT_FOR_REST_NS))
        self._lines.forget()
        finished = self._invocations.take_completed()
        has_metrics = self._has_metrics and (self._news or own)
        self._news = 0
        batches = self._logs.take()
        if self._has_spans and (spans := self._spans.encode(finished)) is not None:
            batches.append(spans)
        if has_metrics:
            self._metrics.finish(finished)
            self._metrics.measure(own)
            if (metrics := self._metrics.take()) is not None:
                batches.append(metrics)
        return batches

    def _add_events(self, events: list[Any], observed_ns: int) -> None:
        self._ledger.records_received(len(events))
        observed = observed_field(observed_ns)
        events.reverse()
        while events:
            # Popped, so that a converted event is freed while the others are converted.
            event = events.pop()
            if not self._lines.add_usual(event, observed):
                self._add(read_record(event, observed_ns))

    def _add_all(self, records: Iterable[Record]) -> None:
        count = 0
        for record in records:
            self._add(record)
            count += 1
        self._ledger.records_received(count)

    def _add(self, record: Record) -> None:
        match record:
            case LogLine():
                self._lines.add(record)
            case Malformed():
                if self._has_logs:
                    self._logs.add_malformed(record)
                else:
                    self._ledger.filtered(LOGS, 1, NOT_WANTED)
            case Event():
                self._add_event(record)

    def _add_event(self, event: Event) -> None:
        self._lines.forget()
        if not self._invocations.observe(event):
            self._ledger.filtered(LOGS, 1, "told twice")
            return
        self._news += 1
        match event:
            case RuntimeDone():
                self._ended.append(event.request_id)
            case Report():
                self._reported.append(event.request_id)
            case LogsDropped():
                self._ledger.records_lost_by_lambda(event.dropped_records)
            case InitStart():
                self._name_instance(event.instance_id)
            case _:
                pass
        if self._has_metrics:
            self._metrics.observe(event)
        if self._platform_logs.are_to_have(event):
            request_id = getattr(event, "request_id", "")
            self._logs.add_event(
                event, self._invocations.find(request_id, event.time_ns) if request_id else None
            )
        else:
            self._ledger.filtered(LOGS, 1, "said by spans and metrics")

    def _name_instance(self, instance_id: str) -> None:
        """The environment's name, where it is the log stream's: metrics do without, or each would be a series.

        https://opentelemetry.io/docs/specs/semconv/registry/attributes/faas/#faas-instance
        """
        if "/" not in instance_id or "[" not in instance_id:
            return
        named: Mapping[str, Any] = {"faas.instance": instance_id}
        self._logs.resource = self._logs.resource.merge(Resource(dict(named)))
        self._spans.resource = self._logs.resource
