from collections.abc import Callable, Iterable
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.result import ConversionResult
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.otlp.resource import ZONE
from telemetry_forwarder.otlp.self_metrics import Measurement
from telemetry_forwarder.settings import PREFIX, Settings
from tests.support import otlp_messages as otlp
from tests.support.posts import MOMENT, MOMENT_NS, OBSERVED_NS, event, post, raw_event, raw_post

ID = "8286a188-ba32-4475-8077-530cd35c09a9"
INSTANCE = "2026/09/22/orders[$LATEST]0123456789abcdef0123456789abcdef"
SECOND_NS = 1_000_000_000
OWN = Measurement("otel.sdk.exporter.log.exported", "{log_record}", 1, {}, is_counter=True)


class Bench:
    """A converter and its decoded batches."""

    def __init__(self, *, is_managed: bool = False, **settings: str) -> None:
        self.ledger = Ledger()
        self.converter = Converter(
            Settings({PREFIX + name: value for name, value in settings.items()}),
            Resource({"service.name": "orders", "faas.name": "orders"}),
            self.ledger,
            version="1",
            temporality="delta",
            is_managed=is_managed,
            new_id=lambda size: "ab" * size,
            unix_ns=lambda: OBSERVED_NS,
        )
        self.batches: list[Batch] = []

    def convert(self, *events: Any) -> ConversionResult:
        result = self.converter.convert(post(*events), OBSERVED_NS)
        self.batches += result.batches
        return result

    def collect(self, own: Iterable[Measurement] = (), *, later_s: float = 0.0) -> None:
        self.batches += self.converter.collect(OBSERVED_NS + round(later_s * SECOND_NS), list(own))

    def flat(self, signal: str, of: Callable[[Any], list[otlp.Flat]]) -> list[otlp.Flat]:
        request = otlp.REQUESTS[f"/v1/{signal}"]
        return [item for each in self.batches if each.signal == signal for item in of(request.FromString(each.body))]

    @property
    def logs(self) -> list[str]:
        """Event names, or bodies if there is none."""
        return [log.event_name or log.body.string_value for _, _, log in self.flat(LOGS, otlp.log_records)]

    @property
    def spans(self) -> list[str]:
        return [span.name for _, _, span in self.flat(SPANS, otlp.spans)]

    @property
    def metrics(self) -> set[str]:
        return {metric.name for _, _, metric in self.flat(METRICS, otlp.metrics)}

    def filtered(self) -> dict[str, int]:
        return dict(self.ledger.snapshot().of(LOGS).filtered)


START = event("platform.start", {"requestId": ID, "version": "7"})
DONE = event("platform.runtimeDone", {"requestId": ID, "status": "success", "metrics": {"durationMs": 2.0}})
REPORT = event("platform.report", {"requestId": ID, "status": "success", "metrics": {"durationMs": 3.0}})
EXTENSION = event("platform.extension", {"name": "x", "state": "Ready", "events": []})


@pytest.mark.parametrize(
    ("settings", "filtered"),
    [
        ({}, {"in spans and metrics": 2}),
        ({"SIGNALS": "spans"}, {"logs disabled": 2}),
        ({"PLATFORM_LOGS": "start"}, {"excluded by PLATFORM_LOGS": 1}),
        ({"PLATFORM_LOGS": "all"}, {}),
    ],
)
def test_filtered_platform_events_are_counted_with_the_reason(
    settings: dict[str, str], filtered: dict[str, int]
) -> None:
    bench = Bench(is_managed=False, **settings)

    bench.convert(START, DONE)

    assert bench.filtered() == filtered


def test_spooled_post_becomes_logs_alone() -> None:
    bench = Bench()
    own = event("extension", "[telemetry-forwarder] INFO an own line")
    body = post(START, event("function", "a line"), own, DONE)[:-1] + b",nonsense"

    bench.batches += bench.converter.convert_spooled(body, OBSERVED_NS).batches
    bench.collect()

    assert sorted(bench.logs) == ["a line", "nonsense", "platform.runtimeDone", "platform.start"]
    assert (bench.spans, bench.metrics) == ([], set())
    assert bench.filtered() == {"own log line": 1}
    assert bench.ledger.records_received == 5


def test_lines_of_a_spooled_post_belong_to_no_invocation() -> None:
    """Not even of a retry, which has the same request id."""
    bench = Bench()
    bench.converter.invoked(ID, "", "", OBSERVED_NS)
    crash = f"RequestId: {ID} Error: Runtime exited with error: signal: killed Runtime.ExitError"
    body = post(event("function", "a line"), event("function", crash))

    bench.batches += bench.converter.convert_spooled(body, OBSERVED_NS).batches
    bench.convert(START, DONE, REPORT)
    bench.collect()

    records = [log for _, _, log in bench.flat(LOGS, otlp.log_records)]
    assert {record.span_id for record in records if record.body.string_value == "a line"} == {b""}
    assert "faas.errors" not in bench.metrics
    assert "faas.invocations" in bench.metrics


def test_spooled_post_becomes_nothing_if_logs_are_disabled() -> None:
    bench = Bench(SIGNALS="spans,metrics")

    result = bench.converter.convert_spooled(post(START, event("function", "a line")), OBSERVED_NS)

    assert result.batches == ()


def test_lines_after_a_retry_belong_to_the_retry() -> None:
    """Although lines of the same request took the fast path before."""
    bench = Bench()
    line = event("function", f"[INFO]\t{MOMENT}\t{ID}\ta line\n")
    header = f"Root=1-{'1' * 8}-{'2' * 24}"

    bench.converter.invoked(ID, "", "", OBSERVED_NS)
    bench.convert(line, line)
    bench.converter.invoked(ID, "", header, MOMENT_NS - SECOND_NS)
    bench.convert(line)

    trace_ids = [log.trace_id.hex() for _, _, log in bench.flat(LOGS, otlp.log_records)]
    assert trace_ids == ["", "", "1" * 8 + "2" * 24]


def test_lines_after_an_event_take_its_fields() -> None:
    bench = Bench()
    line = event("function", f"[INFO]\t{MOMENT}\t{ID}\ta line\n")
    tenant = event("platform.runtimeDone", {"requestId": ID, "status": "success", "tenantId": "a tenant"})

    bench.convert(START, line, line, tenant, line)

    logs = [log for _, _, log in bench.flat(LOGS, otlp.log_records) if log.body.string_value]
    assert ["a tenant" in str(log.attributes) for log in logs] == [False, False, True]


def test_logs_are_returned_at_once_spans_and_metrics_when_collected() -> None:
    bench = Bench()

    bench.convert(START, event("function", "a line"), DONE)

    assert (bench.logs, bench.spans, bench.metrics) == (["a line"], [], set())
    bench.collect()
    assert bench.spans == ["orders"]
    assert "faas.invocations" in bench.metrics
    assert bench.ledger.records_received == 3


def test_lines_of_a_known_invocation_are_all_converted() -> None:
    """The second and third take the fast path."""
    bench = Bench()
    lines = [event("function", f"[INFO]\t{LINE_ISO}\t{ID}\tline {number}\n", LINE_ISO) for number in range(3)]

    bench.convert(START, *lines)

    assert bench.logs == ["line 0", "line 1", "line 2"]
    records = [log for _, _, log in bench.flat(LOGS, otlp.log_records)]
    assert {otlp.attributes(log.attributes)["faas.invocation_id"] for log in records} == {ID}


def test_nothing_is_collected_twice() -> None:
    bench = Bench()
    bench.convert(START, DONE)
    bench.collect()
    before = len(bench.batches)

    assert not bench.converter.has_pending
    bench.collect()

    assert len(bench.batches) == before


def test_ends_and_reports_are_returned_with_their_post() -> None:
    bench = Bench()

    first = bench.convert(START, DONE, REPORT)
    second = bench.convert(event("function", "a line"))

    assert (first.ended, first.reported) == ([ID], [ID])
    assert (second.ended, second.reported) == ([], [])


def test_end_may_arrive_before_invoke() -> None:
    bench = Bench()
    bench.convert(START, DONE)

    has_ended = [bench.converter.invoked(id_, "arn", "", OBSERVED_NS) for id_ in (ID, "another")]

    assert has_ended == [True, False]


def test_duplicate_event_is_filtered() -> None:
    bench = Bench(PLATFORM_LOGS="all")

    bench.convert(START, START)

    assert bench.logs == ["platform.start"]
    assert bench.filtered() == {"duplicate event": 1}


def test_own_log_lines_are_filtered_and_those_of_other_extensions_are_not() -> None:
    bench = Bench()

    bench.convert(event("extension", "[telemetry-forwarder] INFO x"), event("extension", "of another"))

    assert bench.logs == ["of another"]
    assert bench.filtered() == {"own log line": 1}


@pytest.mark.parametrize(
    ("settings", "logs"),
    [
        ({}, ["platform.extension"]),
        ({"PLATFORM_LOGS": "all"}, ["platform.start", "platform.extension", "platform.report"]),
        ({"PLATFORM_LOGS": "none"}, []),
        ({"PLATFORM_LOGS": "report"}, ["platform.report"]),
        ({"SIGNALS": "logs,spans"}, ["platform.start", "platform.extension", "platform.report"]),
        ({"SIGNALS": "logs"}, ["platform.start", "platform.extension", "platform.report"]),
        ({"SIGNALS": "spans,metrics"}, []),
    ],
)
def test_platform_events_are_logs_unless_spans_and_metrics_contain_them(
    settings: dict[str, str], logs: list[str]
) -> None:
    bench = Bench(is_managed=False, **settings)

    bench.convert(START, EXTENSION, REPORT)

    assert bench.logs == logs


@pytest.mark.parametrize("signals", ["logs", "spans", "metrics", "logs,spans,metrics"])
def test_only_enabled_signals_are_encoded(signals: str) -> None:
    bench = Bench(SIGNALS=signals)

    bench.convert(START, event("function", "a line"), "no event at all", DONE)
    bench.collect([OWN])

    wanted = {{"spans": SPANS}.get(name, name) for name in signals.split(",")}
    assert {batch.signal for batch in bench.batches} == wanted


def test_measurements_alone_make_a_batch() -> None:
    bench = Bench()

    bench.collect([OWN])

    assert bench.metrics == {"otel.sdk.exporter.log.exported"}


def test_malformed_record_becomes_a_log_record() -> None:
    bench = Bench()

    bench.convert("no event at all")

    assert len(bench.logs) == 1


@pytest.mark.parametrize(
    ("instance_id", "names"), [(INSTANCE, {INSTANCE}), ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", {None}), ("", {None})]
)
def test_instance_is_named_if_its_id_is_the_log_stream(instance_id: str, names: set[str | None]) -> None:
    bench = Bench()

    bench.convert(event("platform.initStart", {"phase": "init", "instanceId": instance_id}), START, DONE)
    bench.convert(event("function", "a line"))
    bench.collect()

    logs, spans = bench.flat(LOGS, otlp.log_records), bench.flat(SPANS, otlp.spans)
    assert {resource.get("faas.instance") for resource, _, _ in logs + spans} == names
    metrics = bench.flat(METRICS, otlp.metrics)
    assert {resource.get("faas.instance") for resource, _, _ in metrics} == {None}


ARN = "arn:aws:lambda:eu-west-1:111122223333:function:orders"


@pytest.mark.parametrize("by_invoke", [True, False], ids=["INVOKE", "platform.start"])
def test_arn_is_part_of_the_resource_of_all_signals_once_it_is_known(by_invoke: bool) -> None:
    bench = Bench(is_managed=not by_invoke)
    bench.convert(event("extension", "a line before"))
    if by_invoke:
        bench.converter.invoked(ID, f"{ARN}:live", "", OBSERVED_NS)
    start = event("platform.start", {"requestId": ID, "functionArn": "" if by_invoke else f"{ARN}:live"})

    bench.convert(start, event("function", "a line"), DONE, REPORT)
    bench.collect()

    logs = bench.flat(LOGS, otlp.log_records)
    assert [resource.get("cloud.resource_id") for resource, _, _ in logs] == [None, ARN]
    others = bench.flat(SPANS, otlp.spans) + bench.flat(METRICS, otlp.metrics)
    assert {resource.get("cloud.resource_id") for resource, _, _ in others} == {ARN}


def test_records_dropped_by_lambda_are_counted() -> None:
    bench = Bench()

    bench.convert(event("platform.logsDropped", {"droppedRecords": 7, "droppedBytes": 70, "reason": "slow"}))

    assert bench.ledger.records_lost_by_lambda == 7


def test_lines_belong_to_the_open_invocation_and_on_managed_instances_to_none() -> None:
    for is_managed, request_ids in ((False, [ID]), (True, [None])):
        bench = Bench(is_managed=is_managed)
        bench.convert(START, event("function", "a line", "2026-09-22T06:30:00.223Z"))

        records = [log for _, _, log in bench.flat(LOGS, otlp.log_records)]
        assert [otlp.attributes(log.attributes).get("faas.invocation_id") for log in records] == request_ids


@pytest.mark.parametrize(
    ("is_managed", "joins", "is_joined"), [(False, "true", True), (False, "false", False), (True, "true", False)]
)
def test_stack_trace_is_joined_if_that_is_set_and_invocations_do_not_overlap(
    is_managed: bool, joins: str, is_joined: bool
) -> None:
    bench = Bench(is_managed=is_managed, JOIN_LINES=joins)
    lines = ("Traceback (most recent call last):", '  File "/var/task/app.py", line 1, in f', "ValueError: no")

    bench.convert(*[event("function", f"{line}\n", "2026-09-22T06:30:00.223Z") for line in lines], DONE)

    assert len([body for body in bench.logs if not body.startswith("platform.")]) == (1 if is_joined else 3)


@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        ('[ERROR] ValueError: no\nTraceback (most recent call last):\n  File "/var/task/app.py"', "ValueError"),
        ("an ordinary line", None),
    ],
)
def test_exception_that_the_runtime_logs_is_the_error_of_its_invocation(message: str, error_type: str | None) -> None:
    bench = Bench()

    bench.converter.invoked(ID, "arn:aws:lambda:eu-west-1:111122223333:function:orders", "", MOMENT_NS)
    bench.convert(START, *[event("function", message, "2026-09-22T06:30:00.223Z")] * 2, DONE)
    bench.collect()

    invocations = [span for _, _, span in bench.flat(SPANS, otlp.spans) if span.name == "orders"]
    assert [otlp.attributes(span.attributes).get("error.type") for span in invocations] == [error_type]


@pytest.mark.parametrize(
    ("line", "is_seen"),
    [
        ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", True),
        ({"level": "ERROR", "errorType": "java.lang.OutOfMemoryError", "errorMessage": "Java heap space"}, True),
        ({"level": "INFO", "message": {"an": "object"}}, False),
    ],
)
def test_out_of_memory_is_recognised_in_the_log(line: object, is_seen: bool) -> None:
    bench = Bench()
    fields = {"requestId": ID, "status": "error", "errorType": "Runtime.ExitError"}

    bench.convert(START, event("function", line, "2026-09-22T06:30:00.223Z"))
    bench.convert(event("platform.runtimeDone", fields), event("platform.report", fields | {"metrics": {}}))
    bench.collect()

    assert ("lambda.out_of_memory" in bench.metrics) is is_seen


@pytest.mark.parametrize(
    "posts",
    [
        [raw_post(raw_event(rb'"\u004d\u0065moryError"'))],
        [raw_post(raw_event(b'"MemoryEr')), raw_post(raw_event(b'ror: no"'))],
    ],
)
def test_out_of_memory_is_recognised_if_escaped_or_cut(posts: list[bytes]) -> None:
    bench = Bench()
    fields = {"requestId": ID, "status": "error", "errorType": "Runtime.ExitError"}

    bench.convert(START)
    for body in posts:
        bench.converter.convert(body, OBSERVED_NS)
    bench.convert(event("platform.runtimeDone", fields), event("platform.report", fields | {"metrics": {}}))
    bench.collect()

    assert "lambda.out_of_memory" in bench.metrics


OTHER = "11111111-2222-4333-8444-555555555555"
LINE_ISO = "2026-09-22T06:30:00.223Z"
FORMATTED = {"message": "x", "timestamp": LINE_ISO, "level": "INFO", "requestId": OTHER}


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ({"message": "x", "requestId": "down-42"}, {"requestId": "down-42"}),
        ({"message": "x", "request_id": OTHER}, {"request_id": OTHER}),
        ({"message": "x", "faas.invocation_id": OTHER}, {"lambda.line.faas.invocation_id": OTHER}),
        (f"START RequestId: {OTHER} Version: 1", {}),
        (FORMATTED, {"requestId": OTHER}),
        (f"[INFO]\t{LINE_ISO}\t{OTHER}\thello", {"requestId": OTHER}),
    ],
)
def test_request_id_of_the_user_does_not_change_the_invocation_of_a_line(line: object, kept: dict[str, str]) -> None:
    bench = Bench()

    bench.convert(START, event("function", line, LINE_ISO))

    ((_, _, log),) = bench.flat(LOGS, otlp.log_records)
    assert otlp.attributes(log.attributes) == {"faas.invocation_id": ID} | kept
    assert (len(log.trace_id), len(log.span_id)) == (16, 8)


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        ({"message": "x", "requestId": OTHER}, {"requestId": OTHER}),
        (FORMATTED, {"faas.invocation_id": OTHER}),
        (FORMATTED | {"requestId": "down-42"}, {"requestId": "down-42"}),
        (f"[INFO]\t{LINE_ISO}\t{OTHER}\thello", {"faas.invocation_id": OTHER}),
    ],
)
@pytest.mark.parametrize(("is_managed", "events"), [(True, [START]), (False, []), (False, [START, DONE])], ids=str)
def test_unknown_request_id_is_accepted_in_a_runtime_s_format(
    is_managed: bool, events: list[Any], line: object, attributes: dict[str, str]
) -> None:
    """On managed instances, during an init, and after an end: platform.start may be yet to come."""
    bench = Bench(is_managed=is_managed)

    bench.convert(*events, event("function", line, LINE_ISO))

    ((_, _, log),) = bench.flat(LOGS, otlp.log_records)
    if events == [START, DONE] and "requestId" in attributes:
        attributes = attributes | {"faas.invocation_id": ID}
    assert otlp.attributes(log.attributes) == attributes


@pytest.mark.parametrize(
    ("line", "is_error"),
    [
        ({"level": "ERROR", "errorType": "PaymentDeclined", "errorMessage": "no", "orderId": 5}, False),
        (f"RequestId: {ID} Error: pretending to fail", False),
        (f"RequestId: {ID} Error: Runtime exited with error: exit status 1", True),
        (f"RequestId: {OTHER} Error: Runtime exited with error: exit status 1", False),
    ],
)
def test_handled_error_is_no_failure_of_its_invocation(line: object, is_error: bool) -> None:
    bench = Bench()

    bench.convert(START, event("function", line, LINE_ISO), DONE)
    bench.collect()

    assert ("faas.errors" in bench.metrics) is is_error


def test_implausible_timestamp_stays_an_attribute() -> None:
    bench = Bench()

    bench.convert(event("function", {"message": "order", "timestamp": "2001-01-01T00:00:00Z"}, LINE_ISO))

    ((_, _, log),) = bench.flat(LOGS, otlp.log_records)
    assert otlp.attributes(log.attributes) == {"timestamp": "2001-01-01T00:00:00Z"}
    assert log.time_unix_nano == MOMENT_NS + 100_000_000


def fragment() -> bytes:
    """The first piece of a record that Lambda has cut."""
    return raw_post(raw_event(b'"a line whose rest'))


def test_first_part_of_a_cut_record_waits_ten_seconds_for_the_rest() -> None:
    bench = Bench()
    bench.batches += bench.converter.convert(fragment(), OBSERVED_NS).batches
    bench.collect(later_s=9)
    before = (bench.logs, bench.converter.awaits_rest)

    bench.collect(later_s=11)

    assert before == ([], True)
    assert (len(bench.logs), bench.converter.awaits_rest) == (1, False)


def test_finish_returns_incomplete_records_and_ends_open_invocations() -> None:
    bench = Bench()
    bench.convert(START)
    bench.batches += bench.converter.convert(fragment(), OBSERVED_NS).batches

    bench.converter.finish("timeout", OBSERVED_NS)
    bench.collect()

    assert len(bench.logs) == 1
    assert "faas.timeouts" in bench.metrics


def test_what_finish_ends_is_measured_without_other_events() -> None:
    bench = Bench()
    bench.convert(START)
    bench.collect()
    assert bench.metrics == set()

    bench.converter.finish("timeout", OBSERVED_NS)
    bench.collect()

    assert "faas.timeouts" in bench.metrics


def test_an_init_is_open_until_its_report() -> None:
    bench = Bench()
    found = [bench.converter.has_open_phase]

    for kind in ("initStart", "initRuntimeDone", "initReport"):
        bench.convert(event(f"platform.{kind}", {"phase": "init", "initializationType": "on-demand"}))
        found.append(bench.converter.has_open_phase)

    assert found == [False, True, True, False]


def test_very_many_pending_events_are_returned_with_their_post() -> None:
    bench = Bench()
    for number in range(2_000):
        assert {batch.signal for batch in bench.batches} <= {LOGS}
        bench.convert(event("platform.runtimeDone", {"requestId": f"{number}", "status": "success"}))

    assert {batch.signal for batch in bench.batches} >= {SPANS, METRICS}
    assert not bench.converter.has_pending


@pytest.mark.parametrize(
    ("type_", "record"),
    [
        ("platform.start", {"version": "7"}),
        ("platform.runtimeDone", {"requestId": ["no", "text"]}),
        ("platform.report", "all that there is is a text"),
    ],
)
def test_platform_event_without_invocation_is_a_log_record(type_: str, record: object) -> None:
    bench = Bench()

    bench.convert(event(type_, record))

    assert bench.logs == [type_]


@pytest.mark.parametrize("of_first", ["2026-09-22T06:30:00.223Z", "2026-09-22T06:30:00.323Z"])
def test_lines_of_two_attempts_are_assigned_by_time(of_first: str) -> None:
    bench = Bench()
    again = "2026-09-22T06:30:05.123Z"
    tracing = {"spanId": "54565fb41ac79632", "type": "X-Amzn-Trace-Id", "value": f"Root=1-{'1' * 8}-{'2' * 24}"}

    def line(time: str) -> dict[str, Any]:
        return event("function", f"[INFO]\t{time}\t{ID}\tat {time}\n", time)

    bench.convert(START, DONE)
    bench.convert(event("platform.start", {"requestId": ID, "version": "7", "tracing": tracing}, again))
    bench.convert(line(of_first), line(of_first), line("2026-09-22T06:30:05.223Z"), line(of_first))

    first, second = "ab" * 8, "54565fb41ac79632"
    span_ids = [log.span_id.hex() for _, _, log in bench.flat(LOGS, otlp.log_records) if not log.event_name]
    assert span_ids == [first, first, second, first]


def test_no_batch_is_larger_than_the_outbox_holds() -> None:
    bench = Bench(OUTBOX_BYTES="65536")

    bench.convert(*[event("function", "x" * 1_000) for _ in range(100)])

    assert len(bench.batches) > 1
    assert max(len(batch.body) for batch in bench.batches) < 65_536


@pytest.mark.parametrize("body", [post(event("function", "a"), event("extension", "b")), b'["?", 1]'])
def test_records_filtered_because_logs_are_disabled_are_counted(body: bytes) -> None:
    bench = Bench(SIGNALS="spans")

    bench.converter.convert(body, OBSERVED_NS)
    bench.converter.convert_spooled(body, OBSERVED_NS)

    assert bench.filtered() == {"logs disabled": 4}


EXECUTION = {"lambda.durable.execution_name": "order-7", "lambda.durable.execution_id": "1f0c6d1e"}
EXECUTION_ARN = "arn:aws:lambda:eu-west-1:111122223333:function:orders:7/durable-execution/order-7/1f0c6d1e"


def logged(message: str, **more: str) -> dict[str, Any]:
    """Return a line of Python's logger in JSON, to which the SDK for durable functions adds *more*."""
    fields = {"timestamp": MOMENT, "level": "INFO", "message": message, "logger": "app", "requestId": ID}
    return event("function", fields | more)


def executions(bench: Bench) -> list[dict[str, Any]]:
    """Return what each log line and then each span says of its durable execution."""
    logs = [log.attributes for _, _, log in bench.flat(LOGS, otlp.log_records) if not log.event_name]
    spans = [span.attributes for _, _, span in bench.flat(SPANS, otlp.spans) if span.name == "orders"]
    found = map(otlp.attributes, [*logs, *spans])
    return [{key: value for key, value in each.items() if key.startswith("lambda.durable")} for each in found]


def test_durable_execution_is_on_the_lines_and_the_span_of_its_invocation() -> None:
    bench = Bench()

    bench.convert(
        event("platform.start", {"requestId": ID}),
        logged("first"),
        logged("of the SDK", executionArn=EXECUTION_ARN),
        logged("second"),
        event("function", "printed"),
        event("platform.runtimeDone", {"requestId": ID, "status": "success"}),
    )
    bench.collect()

    assert executions(bench) == [{}, EXECUTION, EXECUTION, EXECUTION, EXECUTION]


def test_durable_execution_is_on_a_line_without_an_invocation() -> None:
    bench = Bench()

    bench.convert(logged("of the SDK", executionArn=EXECUTION_ARN))
    bench.batches += bench.converter.convert_spooled(
        post(logged("before", executionArn=EXECUTION_ARN)), OBSERVED_NS
    ).batches

    assert executions(bench) == [EXECUTION, EXECUTION]


def zones(bench: Bench) -> list[tuple[str, str | None]]:
    """Return the availability zone in the resource of each batch."""
    readers = {LOGS: otlp.log_records, SPANS: otlp.spans, METRICS: otlp.metrics}
    return [
        (each.signal, readers[each.signal](otlp.REQUESTS[f"/v1/{each.signal}"].FromString(each.body))[0][0].get(ZONE))
        for each in bench.batches
    ]


def test_availability_zone_is_in_the_resource_from_then_on() -> None:
    bench = Bench()

    bench.convert(event("platform.start", {"requestId": ID}), logged("first"))
    bench.converter.locate("euw1-az2")
    bench.convert(logged("second"), event("platform.runtimeDone", {"requestId": ID, "status": "success"}))
    bench.collect()

    known = "euw1-az2"
    assert zones(bench) == [(LOGS, None), (LOGS, known), (SPANS, known), (METRICS, known)]


def test_availability_zone_of_the_user_is_kept() -> None:
    bench = Bench()
    bench.converter.locate("set by the user")

    bench.converter.locate("euw1-az2")
    bench.convert(logged("first"))

    assert zones(bench) == [(LOGS, "set by the user")]


def test_integers_beyond_64_bits_keep_their_digits_wherever_they_are() -> None:
    """Most lines take the fast path, in several slices; orjson makes floats of the large ones."""
    texts = ["1", "1.5", "18446744073709551616", "-9223372036854775809", "1e300", '[{"a":18446744073709551616}]']
    records = [
        f'{{"timestamp":"{MOMENT}","level":"INFO","requestId":"{ID}","message":"m","id":{text}}}'
        for text in [*texts, "1"] * 300
    ]
    body = raw_post(*[raw_event(record.encode()) for record in records])
    bench = Bench()
    bench.convert(event("platform.start", {"requestId": ID}))
    at = 0
    while at < len(body):
        result = bench.converter.convert(body, OBSERVED_NS, at)
        bench.batches += result.batches
        at = result.next_at

    ids = [otlp.attributes(log.attributes)["id"] for _, _, log in bench.flat(LOGS, otlp.log_records)]
    assert ids == [1, 1.5, str(2**64), str(-(2**63) - 1), 1e300, [{"a": str(2**64)}], 1] * 300
