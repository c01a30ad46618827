"""Log lines and platform events -> OTLP log records, straight into the messages of opentelemetry-proto.

Pure; never raises on anything that Lambda says. This is the hot path: the SDK's own LogRecord and encoder take five
times as long for the same bytes. https://opentelemetry.io/docs/specs/otel/logs/data-model/
"""

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.batch import LOGS, Batch
from telemetry_forwarder.invocations import Invocation
from telemetry_forwarder.line import Line
from telemetry_forwarder.otlp.common import any_value, clean, key_values, resource_message, text_value
from telemetry_forwarder.otlp.platform_attributes import platform_attributes
from telemetry_forwarder.records import Event, InitReport, InitStart, LogLine, Malformed

# One scope per source: a backend shows it, and it costs nothing per record.
SCOPES = {
    "function": "aws.lambda.function",
    "extension": "aws.lambda.extension",
    "platform": "aws.lambda.platform",
}

_INFO, _DEBUG, _WARN = 9, 5, 13
_SEVERITY_TEXTS = {_INFO: "INFO", _DEBUG: "DEBUG", _WARN: "WARN"}
_TROUBLE = frozenset({"LaunchError", "InitError", "ExitError", "Crashed"})
# Lambda's times are milliseconds: an index in the nanoseconds keeps the order of what happened within one.
_LAST_INDEX = 999_999


class LogEncoder:
    """Gathers log records until `take`."""

    def __init__(self, resource: Resource, version: str, *, batch_bytes: int) -> None:
        self._version = version
        self._batch_bytes = batch_bytes
        self._records: dict[str, list[LogRecord]] = {origin: [] for origin in SCOPES}
        self._last_time = dict.fromkeys(SCOPES, (0, 0))
        self.resource = resource

    @property
    def count(self) -> int:
        return sum(len(records) for records in self._records.values())

    def add_line(self, record: LogLine, line: Line, invocation: Invocation | None) -> None:
        """A line of the function or of an extension, and the invocation it belongs to, if that is known."""
        attributes = [
            KeyValue(key=clean(key), value=any_value(value)) for key, value in line.attributes.items()
        ]
        request_id = invocation.request_id if invocation else line.request_id
        if request_id:
            attributes.append(KeyValue(key="faas.invocation_id", value=text_value(request_id)))
        body = line.body
        trace_id, span_id = line.trace_id, line.span_id
        if not trace_id and invocation:
            trace_id, span_id = invocation.trace_id, invocation.span_id
        self._records[record.origin].append(
            LogRecord(
                time_unix_nano=self._in_order(record.origin, line.time_ns or record.time_ns),
                observed_time_unix_nano=record.observed_ns,
                severity_number=line.severity_number,  # type: ignore[arg-type]  # the enum's numbers
                severity_text=clean(line.severity_text),
                body=text_value(body) if type(body) is str else any_value(body),
                attributes=attributes,
                trace_id=bytes.fromhex(trace_id),
                span_id=bytes.fromhex(span_id),
            )
        )

    def add_event(self, event: Event, invocation: Invocation | None) -> None:
        """A platform event, whole: every field of it becomes an attribute, or the body if it has no fields."""
        is_object = isinstance(event.fields, dict)
        attributes = platform_attributes(event.fields) if is_object else {}
        number = _severity(event)
        self._records["platform"].append(
            LogRecord(
                time_unix_nano=self._in_order("platform", event.time_ns),
                observed_time_unix_nano=event.observed_ns,
                severity_number=number,  # type: ignore[arg-type]  # the enum's numbers
                severity_text=_SEVERITY_TEXTS[number],
                body=text_value(event.type) if is_object else any_value(event.fields),
                attributes=key_values(attributes),
                trace_id=bytes.fromhex(invocation.trace_id) if invocation else b"",
                span_id=bytes.fromhex(invocation.span_id) if invocation else b"",
                event_name=clean(event.type),
            )
        )

    def add_malformed(self, record: Malformed) -> None:
        """Bytes that are no record, kept as text."""
        self._records["platform"].append(
            LogRecord(
                time_unix_nano=record.observed_ns,
                observed_time_unix_nano=record.observed_ns,
                severity_number=_WARN,  # type: ignore[arg-type]  # the enum's numbers
                severity_text="WARN",
                body=text_value(record.text),
                attributes=key_values({"lambda.malformed": True}),
            )
        )

    def take(self) -> list[Batch]:
        """Everything gathered, encoded, in batches within the bound (a single larger record comes alone)."""
        records = [(origin, record) for origin, ofs in self._records.items() for record in ofs]
        self._records = {origin: [] for origin in SCOPES}
        return self._encode(records) if records else []

    def _encode(self, records: list[tuple[str, LogRecord]]) -> list[Batch]:
        body = self._request(records).SerializeToString()
        if len(body) <= self._batch_bytes or len(records) == 1:
            return [Batch(LOGS, body, len(records))]
        half = len(records) // 2
        return self._encode(records[:half]) + self._encode(records[half:])

    def _request(self, records: list[tuple[str, LogRecord]]) -> ExportLogsServiceRequest:
        scopes = []
        for origin, name in SCOPES.items():
            ours = [record for of, record in records if of == origin]
            if ours:
                scope = InstrumentationScope(name=name, version=self._version)
                scopes.append(ScopeLogs(scope=scope, log_records=ours))
        return ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(resource=resource_message(self.resource), scope_logs=scopes)]
        )

    def _in_order(self, origin: str, time_ns: int) -> int:
        last_ns, index = self._last_time[origin]
        index = min(index + 1, _LAST_INDEX) if time_ns == last_ns and time_ns else 0
        self._last_time[origin] = (time_ns, index)
        return time_ns + index


def _severity(event: Event) -> int:
    """Lambda's own system log level of this event, which depends on how it went.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    status: Any = getattr(event, "status", "")
    failed = status not in ("", "success")
    match event.type.removeprefix("platform."):
        case "initRuntimeDone" | "runtimeDone" | "restoreRuntimeDone":
            return _WARN if failed else _DEBUG
        case "initReport":
            on_demand = isinstance(event, InitReport) and event.initialization_type in ("", "on-demand")
            return _WARN if failed else _DEBUG if on_demand else _INFO
        case "initStart":
            return _INFO if isinstance(event, InitStart) and event.runtime_version else _DEBUG
        case "report" | "restoreReport":
            return _WARN if failed else _INFO
        case "extension":
            failed = bool(getattr(event, "error_type", "")) or getattr(event, "state", "") in _TROUBLE
            return _WARN if failed else _INFO
        case "logsDropped" | "fault":
            return _WARN
        case _:
            return _INFO
