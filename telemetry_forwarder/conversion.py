"""Posts in, encoded batches out: decodes, joins and converts. No I/O, no clock; never raises on what Lambda says."""

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.batch import LOGS, Batch
from telemetry_forwarder.config import Settings
from telemetry_forwarder.decoding import Decoder
from telemetry_forwarder.diagnostics import is_own_line
from telemetry_forwarder.exporter_metrics import Measurement
from telemetry_forwarder.formats import may_tell_out_of_memory, read_line, tells_out_of_memory
from telemetry_forwarder.invocations import Invocation, Invocations
from telemetry_forwarder.ledger import Ledger
from telemetry_forwarder.line import Line
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.otlp.metrics import MetricEncoder
from telemetry_forwarder.otlp.spans import SpanEncoder
from telemetry_forwarder.records import (
    Event,
    InitStart,
    LogLine,
    LogsDropped,
    Malformed,
    Record,
    Report,
    RuntimeDone,
)
from telemetry_forwarder.usual_lines import UsualLines

# What spans and metrics say in full: as logs too it would be said three times.
TOLD_BY_SPANS_AND_METRICS = frozenset(
    {
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
        "platform.restoreStart",
        "platform.restoreRuntimeDone",
        "platform.restoreReport",
    }
)
# So many events are made into spans and metrics at once; each waits in less than a kilobyte.
_MANY = 2_000
# A piece of a cut record comes in the same post as its rest or in the next one.
_LONGEST_WAIT_FOR_REST_NS = 10_000_000_000


class Conversion:
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
        self._invocations = Invocations(is_managed=is_managed, new_id=new_id)
        self._logs = LogEncoder(
            resource, version, batch_bytes=settings.batch_bytes, batch_items=settings.batch_items
        )
        self._usual = UsualLines(self._logs)
        self._spans = SpanEncoder(
            resource, version, trace_parent=settings.trace_parent, sampling=settings.sampling, new_id=new_id
        )
        self._metrics = MetricEncoder(resource, version, temporality=temporality, new_id=new_id)
        self._ended: list[str] = []
        self._reported: list[str] = []
        self._news = 0
        self._keep_raw = settings.keep_raw
        self._has_logs = "logs" in settings.signals
        self._has_spans = "spans" in settings.signals
        self._has_metrics = "metrics" in settings.signals

    def take_in(self, body: bytes, observed_ns: int) -> list[Batch]:
        """Convert a post; give the log batches that it makes. Spans and metrics wait for `take`."""
        # What was held of a cut record is not in this post.
        may_tell = self._decoder.held > 0 or may_tell_out_of_memory(body)
        self._add(self._decoder.decode(body, observed_ns), may_tell_out_of_memory=may_tell)
        return self._logs.take()

    def take_in_past(self, body: bytes, observed_ns: int) -> list[Batch]:
        """Convert a post that an earlier life had no time for: to logs alone, for it has given spans and metrics."""
        decoder = Decoder()
        records = [*decoder.decode(body, observed_ns), *decoder.give_up()]
        self._ledger.records_received(len(records))
        for record in records if self._has_logs else ():
            self._add_past(record)
        return self._logs.take()

    def _add_past(self, record: Record) -> None:
        """To no invocation: those of this life have nothing to do with it, even where a retry has the same id."""
        match record:
            case LogLine():
                if record.origin == "extension" and is_own_line(record.record):
                    self._ledger.left_out(LOGS, 1, "own line")
                else:
                    line = read_line(record.record, keep_raw=self._keep_raw)
                    self._logs.add_line(record, line, None)
            case Malformed():
                self._logs.add_malformed(record)
            case Event():
                self._logs.add_event(record, None)

    def invoked(self, request_id: str, arn: str, trace_header: str, at_ns: int) -> None:
        self._usual.forget()
        self._invocations.invoked(request_id, arn, trace_header, at_ns)

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
        return self._decoder.held > 0

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
        self._usual.forget()
        self._invocations.shut_down(reason, at_ns)
        self._add(self._decoder.give_up())

    def take(self, now_ns: int, own: list[Measurement]) -> list[Batch]:
        """What there is to deliver beside what `take_in` gave: spans, metrics, fragments that waited in vain."""
        self._add(self._decoder.give_up(observed_before_ns=now_ns - _LONGEST_WAIT_FOR_REST_NS))
        self._usual.forget()
        finished = self._invocations.take_finished()
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

    def _add(self, records: list[Record], *, may_tell_out_of_memory: bool = True) -> None:
        self._ledger.records_received(len(records))
        # Each goes as soon as it is converted: what it becomes takes as much memory again.
        records.reverse()
        while records:
            record = records.pop()
            if type(record) is LogLine and not may_tell_out_of_memory and self._usual.add(record):
                continue
            match record:
                case LogLine():
                    self._add_line(record, may_tell_out_of_memory=may_tell_out_of_memory)
                case Malformed():
                    if self._has_logs:
                        self._logs.add_malformed(record)
                case Event():
                    self._add_event(record)

    def _add_line(self, record: LogLine, *, may_tell_out_of_memory: bool) -> None:
        origin, time_ns, said = record.origin, record.time_ns, record.record
        if origin == "extension" and is_own_line(said):
            self._ledger.left_out(LOGS, 1, "own line")
            return
        is_functions = origin == "function"
        line = read_line(said, keep_raw=self._keep_raw)
        invocation = None
        if is_functions:
            request_id = line.request_id
            invocation = self._invocations.of_line(request_id, time_ns)
            if invocation is None and request_id:
                invocation = self._owner_of_stranger(line, time_ns)
            if invocation is not None:
                _note(invocation, time_ns, line)
                if may_tell_out_of_memory and tells_out_of_memory(line):
                    invocation.has_run_out_of_memory = True
        if self._has_logs:
            fixed = self._logs.add_line(record, line, invocation)
            if invocation is not None and not self._keep_raw:
                self._usual.learn(record, line, fixed, invocation)

    def _owner_of_stranger(self, line: Line, time_ns: int) -> Invocation | None:
        """The invocation of a line whose id nobody knows: it is the user's, and tells nothing."""
        latest = self._invocations.of_line("", time_ns)
        if latest and latest.done and latest.done.time_ns < time_ns and line.has_likely_request_id:
            # It may be of the next one, of which Lambda has not told us yet.
            return None
        return latest

    def _add_event(self, event: Event) -> None:
        self._usual.forget()
        if not self._invocations.observe(event):
            self._ledger.left_out(LOGS, 1, "told twice")
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
        if self._is_wanted_as_log(event):
            request_id = getattr(event, "request_id", "")
            self._logs.add_event(
                event, self._invocations.of_line(request_id, event.time_ns) if request_id else None
            )
        else:
            self._ledger.left_out(LOGS, 1, "said by spans and metrics")

    def _is_wanted_as_log(self, event: Event) -> bool:
        if not self._has_logs:
            return False
        wanted = self._settings.platform_logs
        if wanted == ("default",):
            return not (self._has_spans and self._has_metrics and _is_told_otherwise(event))
        return wanted == ("all",) or event.type.removeprefix("platform.") in wanted

    def _name_instance(self, instance_id: str) -> None:
        """The environment's name, where it is the log stream's: metrics do without, or each would be a series.

        https://opentelemetry.io/docs/specs/semconv/registry/attributes/faas/#faas-instance
        """
        if "/" not in instance_id or "[" not in instance_id:
            return
        named: Mapping[str, Any] = {"faas.instance": instance_id}
        self._logs.resource = self._logs.resource.merge(Resource(dict(named)))
        self._spans.resource = self._logs.resource


def _is_told_otherwise(event: Event) -> bool:
    """Whether spans and metrics say all of it: not of an event that belongs to no invocation, or has no fields."""
    is_whole = isinstance(event.fields, dict) and getattr(event, "request_id", "unasked") != ""
    return is_whole and event.type in TOLD_BY_SPANS_AND_METRICS


def _note(invocation: Invocation, time_ns: int, line: Line) -> None:
    """What a line of that moment tells of its invocation's fate."""
    if time_ns > invocation.last_line_ns:
        invocation.last_line_ns = time_ns
    is_its_own = line.request_id in ("", invocation.request_id)
    if line.is_exception and is_its_own and not invocation.exception_type:
        invocation.exception_type = line.exception_type or "exception"
