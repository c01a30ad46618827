"""Converts posts of the Telemetry API to encoded batches. No I/O; never raises, whatever Lambda sends."""

from collections.abc import Callable, Sequence

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.fast_path import FastPath
from telemetry_forwarder.conversion.log_lines import LOGS_DISABLED, LogLineConverter
from telemetry_forwarder.conversion.lookahead import Lookahead
from telemetry_forwarder.conversion.platform_logs import filter_reason
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import LOGS, Batch
from telemetry_forwarder.invocations.duplicate_events import Arrival
from telemetry_forwarder.invocations.tracker import InvocationTracker
from telemetry_forwarder.otlp.aggregator import Aggregator
from telemetry_forwarder.otlp.log_encoding import encode_observed_time
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.otlp.metrics import MetricEncoder
from telemetry_forwarder.otlp.resource import ZONE, CurrentResource
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
    RestoreStart,
    RuntimeDone,
    Start,
)

# Events wait for `collect` in memory, less than 1 KB each.
_MAX_PENDING_EVENTS = 2_000
# Lambda sends the rest of a cut record in the same post or the next. After this, the next flush exports the part alone.
_MIN_WAIT_FOR_REST_NS = 10_000_000_000


class Converter:
    """Converts posts to log batches at once; collects spans and metrics until they are asked for."""

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
        unix_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._decoder = Decoder()
        self._invocations = InvocationTracker(is_managed=is_managed, new_id=new_id)
        # A batch that is larger than the outbox could not be held in memory.
        batch_bytes = min(settings.batch_bytes, settings.outbox_bytes // 2)
        self._resource = CurrentResource(resource)
        self._logs = LogEncoder(self._resource, version, batch_bytes=batch_bytes, batch_items=settings.batch_items)
        self._fast_path = FastPath(self._logs)
        self._lines = LogLineConverter(
            settings,
            self._logs,
            fast_path=self._fast_path,
            invocations=self._invocations,
            ledger=ledger,
            function_name=self._resource.text("faas.name"),
        )
        self._spans = SpanEncoder(settings, self._resource, version, new_id=new_id)
        self._metrics = MetricEncoder(resource, version, Aggregator(temporality, unix_ns), new_id=new_id)
        self._ended: list[str] = []
        self._reported: list[str] = []
        self._pending_events = 0
        self._spooled_decoder = Decoder()

    @property
    def awaits_rest(self) -> bool:
        """Whether the first part of a cut record has arrived, but not the rest."""
        return self._decoder.incomplete_count > 0

    @property
    def has_pending(self) -> bool:
        """Whether platform events wait for `collect`."""
        return self._pending_events > 0

    @property
    def has_open_phase(self) -> bool:
        """Whether an init or a restore has begun whose report is expected."""
        return self._invocations.has_open_phase

    @property
    def lag_ns(self) -> int:
        """How long events take to arrive, as far as is known; negative while the wall clock is slow."""
        return self._invocations.lag_ns

    def convert(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        """Convert a slice of a post, from *at* on; most posts are smaller than a slice.

        The batches contain its logs; spans and metrics only if very many events are pending.
        """
        events, next_at = self._decoder.load_slice(body, at)
        is_json = events is not None
        if events is None:
            events, next_at = self._decoder.decode_stepwise(body, observed_ns, at)
        ahead = Lookahead(events, observed_ns, decoder=self._decoder, body=body, begin=at, at=next_at)
        if is_json:
            self._convert_events(ahead, observed_ns)
        else:
            self._convert_records(ahead)
        is_full = self._pending_events >= _MAX_PENDING_EVENTS
        batches = self.collect(observed_ns) if is_full else self._logs.take()
        ended, reported, self._ended, self._reported = self._ended, self._reported, [], []
        return ConversionResult(ahead.next_at, batches, ended, reported, observed_ns)

    def convert_spooled(self, body: bytes, observed_ns: int, at: int = 0) -> ConversionResult:
        """Convert a slice of a post that an earlier process spooled raw.

        It becomes logs alone, because this process lacks its invocations.
        """
        if not at:
            self._spooled_decoder = Decoder()
        records, next_at = self._spooled_decoder.decode_slice(body, observed_ns, at)
        if next_at >= len(body):
            records += self._spooled_decoder.release()
        self._ledger.records_received += len(records)
        if "logs" not in self._settings.signals:
            self._ledger.filtered(LOGS, len(records), LOGS_DISABLED)
            return ConversionResult(next_at)
        ahead = Lookahead(records, observed_ns, decoder=self._spooled_decoder, body=body, at=next_at)
        while records:
            match record := records.pop():
                case LogLine():
                    for line in self._lines.join(record, ahead):
                        self._lines.convert_without_invocation(line)
                case Malformed():
                    self._logs.add_malformed(record)
                case _:
                    self._logs.add_event(record, None)
        return ConversionResult(ahead.next_at, self._logs.take())

    def invoked(self, request_id: str, arn: str, trace_header: str, at_ns: int) -> bool:
        """Record an INVOKE event; return whether the platform.runtimeDone of the invocation has already arrived."""
        self._fast_path.forget()
        if not self._resource.is_identified:
            self._identify(arn)
        self._invocations.observe_invoke(request_id, arn=arn, trace_header=trace_header, at_ns=at_ns)
        return self._invocations.has_ended(request_id)

    def locate(self, zone_id: str) -> None:
        """Add the availability zone to what is encoded from now on, unless the user has set one."""
        if not self._resource.text(ZONE):
            self._resource.add({ZONE: zone_id})
            self._metrics.add_to_resource({ZONE: zone_id})

    def collect(self, now_ns: int, measurements: Sequence[Measurement] = ()) -> list[Batch]:
        """Return the pending spans and metrics, *measurements* included, and the parts of records that waited too long.

        A call without anything pending returns no batches.
        """
        self._convert_records(Lookahead(self._decoder.release(observed_before_ns=now_ns - _MIN_WAIT_FOR_REST_NS)))
        self._fast_path.forget()
        completed = self._invocations.take_completed()
        batches = self._logs.take()
        if "spans" in self._settings.signals and (spans := self._spans.encode(completed)) is not None:
            batches.append(spans)
        if "metrics" in self._settings.signals and (self._pending_events or measurements or completed):
            self._metrics.observe_completed(completed)
            self._metrics.add_self_metrics(measurements)
            if (metrics := self._metrics.take()) is not None:
                batches.append(metrics)
        self._pending_events = 0
        return batches

    def finish(self, reason: str, now_ns: int) -> None:
        """End what is still open, because SHUTDOWN came for *reason*. `collect` returns the results."""
        self._invocations.shut_down(reason, now_ns)
        self._convert_records(Lookahead(self._decoder.release()))

    def _convert_events(self, ahead: Lookahead, observed_ns: int) -> None:
        events = ahead.items
        self._ledger.records_received += len(events)
        observed = encode_observed_time(observed_ns)
        convert_fast = self._fast_path.convert
        while events:
            # Popped, so that a converted event is freed while the others are converted.
            event = events.pop()
            if not convert_fast(event, observed):
                has_object = type(event) is dict and type(event.get("record")) is dict
                self._convert_record(read_record(ahead.exact(event) if has_object else event, observed_ns), ahead)

    def _convert_records(self, ahead: Lookahead) -> None:
        self._ledger.records_received += len(ahead.items)
        while ahead.items:
            self._convert_record(ahead.items.pop(), ahead)

    def _convert_record(self, record: Record, ahead: Lookahead) -> None:
        match record:
            case LogLine():
                for line in self._lines.join(record, ahead):
                    self._lines.convert(line)
            case Malformed():
                if "logs" in self._settings.signals:
                    self._logs.add_malformed(record)
                else:
                    self._ledger.filtered(LOGS, 1, LOGS_DISABLED)
            case _:
                self._convert_event(record)

    def _convert_event(self, event: Event) -> None:
        self._fast_path.forget()
        arrival = self._invocations.observe(event)
        if arrival is Arrival.DUPLICATE:
            self._ledger.filtered(LOGS, 1, "duplicate event")
            return
        self._pending_events += 1
        self._observe(event)
        if "metrics" in self._settings.signals:
            self._metrics.observe(event)
        if reason := filter_reason(event, self._settings, is_shown=arrival is Arrival.SHOWN):
            self._ledger.filtered(LOGS, 1, reason)
        else:
            request_id = getattr(event, "request_id", "")
            invocation = self._invocations.find(request_id, event.time_ns) if request_id else None
            self._logs.add_event(event, invocation)

    def _observe(self, event: Event) -> None:
        match event:
            case Start(function_arn=arn) if not self._resource.is_identified:
                self._identify(arn)
            case RuntimeDone():
                self._ended.append(event.request_id)
            case Report():
                self._reported.append(event.request_id)
            case LogsDropped():
                self._ledger.records_lost_by_lambda += event.dropped_records
            case InitStart() | RestoreStart():
                self._resource.name_instance(event.instance_id)

    def _identify(self, arn: str) -> None:
        self._metrics.add_to_resource(self._resource.identify(arn))
