from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import LOGS, Batch
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.otlp.log_encoding import encode_observed_time
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.otlp.resource import CurrentResource
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import Event, LogLine, Malformed, Tracing
from tests.support.lines import ID, TIME_NS, line
from tests.support.otlp_messages import any_value, key_values, log_records
from tests.support.posts import MOMENT_NS, MS, OBSERVED_NS
from tests.support.properties import FAST
from tests.support.stories import SPAN_ID, TRACE_ID, at, start
from tests.support.strategies import JSON

S = 1_000_000_000
OTHER_TRACE = "5759e988bd862e3fe1be46a994272793"


def encoder(*, batch_bytes: int = 1_000_000, batch_items: int = 10_000) -> LogEncoder:
    resource = CurrentResource(Resource({"faas.name": "orders"}))
    return LogEncoder(resource, "1.2", batch_bytes=batch_bytes, batch_items=batch_items)


def function_line(record: Any = "hello", time_ns: int = MOMENT_NS, **envelope: Any) -> LogLine:
    return LogLine("function", record=record, time_ns=time_ns, observed_ns=OBSERVED_NS, extra=envelope or None)


def invocation(*, is_certain: bool = True, **known: Any) -> Invocation:
    one = Invocation("a", trace_id=TRACE_ID, span_id=SPAN_ID, tracing=Tracing(TRACE_ID), start_ns=at(0))
    for name, value in {"has_start": is_certain, **known}.items():
        setattr(one, name, value)
    return one


def read(batches: list[Batch]) -> list[tuple[str, LogRecord]]:
    """Return the scope and the record of every encoded line and event."""
    return [
        (scope.name, record)
        for batch in batches
        for _, scope, record in log_records(ExportLogsServiceRequest.FromString(batch.body))
    ]


def record(body: Any, attributes: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    # Attributes in the order in which they are encoded: those that many records have in common come first.
    return LogRecord(
        body=any_value(body),
        attributes=key_values(attributes or {}),
        **{"time_unix_nano": MOMENT_NS, "observed_time_unix_nano": OBSERVED_NS, **fields},
    )


def ids(trace_id: str, span_id: str = "") -> dict[str, bytes]:
    return {"trace_id": bytes.fromhex(trace_id), "span_id": bytes.fromhex(span_id)}


def encoded_line(logged: LogLine, parsed: ParsedLine, owner: Invocation | None = None) -> LogRecord:
    logs = encoder()
    logs.add_line(logged, parsed, owner)
    ((scope, found),) = read(logs.take())
    assert scope == f"aws.lambda.{logged.origin}"
    return found


def encoded_event(event: Event, owner: Invocation | None = None) -> LogRecord:
    logs = encoder()
    logs.add_event(event, owner)
    ((scope, found),) = read(logs.take())
    assert scope == "aws.lambda.platform"
    return found


def test_a_line_becomes_a_record_with_all_its_fields() -> None:
    parsed = line({"order": [5, None]}, 13, "WARNING", attributes={"logger": "root", "n": 0.5})

    assert encoded_line(function_line(), parsed, invocation(tenant_id="t")) == record(
        {"order": [5, None]},
        {"faas.invocation_id": "a", "lambda.tenant_id": "t", "logger": "root", "n": 0.5},
        severity_number=13,
        severity_text="WARNING",
        **ids(TRACE_ID, SPAN_ID),
    )


@pytest.mark.parametrize("body", [None, "", "text", 5, 2.5, True, [], {}, {"a": {"b": [None]}}, "lone \ud800", 2**70])
def test_a_body_keeps_its_type(body: Any) -> None:
    assert encoded_line(function_line(), line(body)) == record(body)


def test_null_is_a_body_without_a_value() -> None:
    assert encoded_line(function_line(), line(None)).body == AnyValue()


def test_a_line_of_an_extension_has_its_own_scope() -> None:
    logged = LogLine("extension", record="x", time_ns=MOMENT_NS, observed_ns=OBSERVED_NS)

    assert encoded_line(logged, line("x")) == record("x")


def test_a_line_without_a_known_invocation_keeps_its_request_id() -> None:
    parsed = line("x", request_id=ID).replace(request_id_key="requestId", has_runtime_format=True)

    assert encoded_line(function_line(), parsed) == record("x", {"faas.invocation_id": ID})


@pytest.mark.parametrize(("request_id", "has_runtime_format"), [("down-42", True), (ID, False), (f"{ID}0", True)])
def test_an_id_that_is_hardly_lambdas_keeps_its_own_key(request_id: str, has_runtime_format: bool) -> None:
    parsed = line("x", request_id=request_id, attributes={"a": 1}).replace(
        request_id_key="requestId", has_runtime_format=has_runtime_format
    )

    assert encoded_line(function_line(), parsed) == record("x", {"a": 1, "requestId": request_id})


@pytest.mark.parametrize(
    ("key", "kept_as"), [("requestId", "requestId"), ("faas.invocation_id", "lambda.line.faas.invocation_id"), ("", "")]
)
def test_a_different_id_is_kept_in_addition_to_that_of_the_invocation(key: str, kept_as: str) -> None:
    parsed = line("x", request_id=ID).replace(request_id_key=key, has_runtime_format=True)

    assert encoded_line(function_line(), parsed, invocation()) == record(
        "x", {"faas.invocation_id": "a"} | ({kept_as: ID} if kept_as else {}), **ids(TRACE_ID, SPAN_ID)
    )


def test_unknown_members_of_the_envelope_are_kept() -> None:
    logged = function_line(time_ns=0, time="noon", new=[1])

    assert encoded_line(logged, line("x", attributes={"a": 1})) == record(
        "x", {"a": 1, "lambda.envelope.time": "noon", "lambda.envelope.new": [1]}, time_unix_nano=0
    )


@pytest.mark.parametrize(
    ("own", "is_certain", "context"),
    [
        (("", ""), True, (TRACE_ID, SPAN_ID)),
        (("", ""), False, (TRACE_ID, "")),
        ((TRACE_ID, ""), True, (TRACE_ID, SPAN_ID)),
        ((TRACE_ID, "c" * 16), True, (TRACE_ID, "c" * 16)),
        ((OTHER_TRACE, ""), True, (OTHER_TRACE, "")),
        ((OTHER_TRACE, "c" * 16), True, (OTHER_TRACE, "c" * 16)),
    ],
)
def test_a_lines_own_ids_take_precedence_over_its_invocations(
    own: tuple[str, str], is_certain: bool, context: tuple[str, str]
) -> None:
    parsed = line("x", trace_id=own[0], span_id=own[1])

    found = encoded_line(function_line(), parsed, invocation(is_certain=is_certain))

    assert found == record("x", {"faas.invocation_id": "a"}, **ids(*context))


@pytest.mark.parametrize(
    ("own_ns", "event_ns", "time_ns"),
    [
        (0, MOMENT_NS, MOMENT_NS),
        (TIME_NS + 5, MOMENT_NS + MS, TIME_NS + 5),
        (MOMENT_NS // S * S, MOMENT_NS, MOMENT_NS),
        (MOMENT_NS // S * S, MOMENT_NS + S, MOMENT_NS // S * S),
        (MOMENT_NS // S * S + S, MOMENT_NS, MOMENT_NS // S * S + S),
        (TIME_NS, 0, TIME_NS),
        (0, 0, 0),
        (MOMENT_NS - 900 * S, MOMENT_NS, MOMENT_NS - 900 * S),
        (MOMENT_NS - 900 * S - 1, MOMENT_NS, MOMENT_NS),
        (MOMENT_NS + 60 * S, MOMENT_NS, MOMENT_NS + 60 * S),
        (MOMENT_NS + 60 * S + 1, MOMENT_NS, MOMENT_NS),
    ],
)
def test_a_lines_own_time_takes_precedence_unless_it_is_less_precise_or_implausible(
    own_ns: int, event_ns: int, time_ns: int
) -> None:
    logged = function_line(time_ns=event_ns)

    assert encoded_line(logged, line("x", time_ns=own_ns)) == record("x", time_unix_nano=time_ns)


@pytest.mark.parametrize(("own_ns", "is_kept"), [(MOMENT_NS - 1_000 * S, True), (MOMENT_NS - 1, False)])
def test_a_time_that_is_not_believed_is_kept_as_an_attribute(own_ns: int, is_kept: bool) -> None:
    parsed = line("x", time_ns=own_ns, attributes={"a": 1}).replace(own_time=("time", "noon"))

    found = encoded_line(function_line(), parsed)

    assert found == record(
        "x", {"a": 1, "time": "noon"} if is_kept else {"a": 1}, time_unix_nano=MOMENT_NS if is_kept else own_ns
    )


def test_lines_of_one_millisecond_keep_their_order() -> None:
    logs = encoder()
    times = [0, 0, 1, 0, 1, 2, None, None]
    for number, ms in enumerate(times):
        logs.add_line(function_line(time_ns=0 if ms is None else at(ms)), line(number), None)

    found = [one.time_unix_nano for _, one in read(logs.take())]

    assert found == [at(0), at(0) + 1, at(1), at(0) + 2, at(1) + 1, at(2), 0, 0]


def test_milliseconds_are_still_counted_after_many_others() -> None:
    logs = encoder()
    for ms in (*range(1_500), 1_499):
        logs.add_line(function_line(time_ns=at(ms)), line("x"), None)

    assert [one.time_unix_nano for _, one in read(logs.take())][-2:] == [at(1_499), at(1_499) + 1]


def test_common_fields_of_many_invocations_stay_distinct() -> None:
    logs = encoder()
    for number in range(2_000):
        logs.add_line(function_line(time_ns=at(number)), line("x"), invocation(request_id=str(number)))

    found = read(logs.take())

    assert [one.attributes[0].value.string_value for _, one in found] == [str(number) for number in range(2_000)]


def test_an_event_becomes_a_named_record() -> None:
    event = start("a", 0, newField=1)

    assert encoded_event(event, invocation(tenant_id="t")) == record(
        "START RequestId: a Version: 7",
        {"faas.invocation_id": "a", "faas.version": "7", "lambda.newField": 1},
        severity_number=9,
        severity_text="INFO",
        event_name="platform.start",
        **ids(TRACE_ID, SPAN_ID),
    )


@pytest.mark.parametrize("fields", [None, "text", 5, [1, {"a": 2}]])
def test_an_event_without_fields_is_its_own_body(fields: Any) -> None:
    event = read_event("platform.logsDropped", fields, time_ns=MOMENT_NS, observed_ns=OBSERVED_NS, extra={"new": 1})

    assert encoded_event(event) == record(
        fields, {"lambda.envelope.new": 1}, severity_number=13, severity_text="WARN", event_name="platform.logsDropped"
    )


def test_an_event_without_a_type_keeps_its_fields() -> None:
    event = read_event("", {"record": [1], "x": None}, time_ns=0, observed_ns=OBSERVED_NS)

    assert encoded_event(event) == record(
        "", {"lambda.record": [1], "lambda.x": None}, severity_number=9, severity_text="INFO", time_unix_nano=0
    )


def test_malformed_bytes_are_a_warning() -> None:
    logs = encoder()

    logs.add_malformed(Malformed(OBSERVED_NS, "{oh"))

    assert read(logs.take()) == [
        (
            "aws.lambda.platform",
            record(
                "{oh", {"lambda.malformed": True}, severity_number=13, severity_text="WARN", time_unix_nano=OBSERVED_NS
            ),
        )
    ]


def test_records_are_grouped_by_scope_under_one_resource() -> None:
    logs = encoder()
    logs.add_malformed(Malformed(1, "m"))
    logs.add_line(function_line(), line("f"), None)
    logs.add_line(LogLine("extension", record="e", time_ns=0, observed_ns=0), line("e"), None)

    (batch,) = logs.take()

    request = ExportLogsServiceRequest.FromString(batch.body)
    assert (batch.signal, batch.items) == (LOGS, 3)
    assert [(scope.scope.name, scope.scope.version) for scope in request.resource_logs[0].scope_logs] == [
        ("aws.lambda.function", "1.2"),
        ("aws.lambda.extension", "1.2"),
        ("aws.lambda.platform", "1.2"),
    ]
    assert request.resource_logs[0].resource.attributes == key_values({"faas.name": "orders"})
    assert logs.take() == []


def test_attributes_added_to_the_resource_are_exported() -> None:
    resource = CurrentResource(Resource({"faas.name": "orders"}))
    logs = LogEncoder(resource, "1.2", batch_bytes=1_000_000, batch_items=10_000)
    resource.add({"faas.instance": "i"})
    logs.add_line(function_line(), line("x"), None)

    request = ExportLogsServiceRequest.FromString(logs.take()[0].body)

    assert request.resource_logs[0].resource.attributes == key_values({"faas.name": "orders", "faas.instance": "i"})


@pytest.mark.parametrize(("batch_bytes", "batch_items"), [(1_000_000, 7), (9_000, 1_000), (1, 1_000), (9_000, 2)])
def test_batches_are_within_their_limits_and_lose_nothing(batch_bytes: int, batch_items: int) -> None:
    logs = encoder(batch_bytes=batch_bytes, batch_items=batch_items)
    for number in range(40):
        logs.add_line(function_line(), line(f"{number}" + "x" * number * 10), None)
    logs.add_malformed(Malformed(1, "y" * 20_000))

    batches = logs.take()

    assert [one.body.string_value[:1] for _, one in read(batches)] == [*[str(n)[0] for n in range(40)], "y"]
    assert sum(batch.items for batch in batches) == 41
    assert all(batch.items <= batch_items for batch in batches)
    assert all(len(batch.body) <= batch_bytes or batch.items == 1 for batch in batches)


@FAST
@given(
    JSON,
    st.dictionaries(st.text(st.characters(exclude_categories=())), JSON, max_size=3),
    st.sampled_from(["", TRACE_ID]),
    st.integers(0, (1 << 63) - 1),
    st.text(st.characters(exclude_categories=())),
)
def test_any_line_is_a_valid_record(body: Any, attributes: Any, trace_id: str, time_ns: int, text: str) -> None:
    parsed = line(body, 9, text, attributes=attributes, trace_id=trace_id, request_id=text, time_ns=time_ns)

    found = encoded_line(function_line(), parsed, invocation(request_id=text, tenant_id=text))

    assert LogRecord.FromString(found.SerializeToString()) == found
    assert (len(found.trace_id), len(found.span_id)) == (16, 8)
    assert len(found.attributes) >= len(attributes)


@FAST
@given(st.text(st.characters(exclude_categories=())), JSON | st.dictionaries(st.text(), JSON), JSON)
def test_any_event_is_a_valid_record(type_: str, fields: Any, extra: Any) -> None:
    event = read_event(type_, fields, time_ns=MOMENT_NS, observed_ns=OBSERVED_NS, extra={"x": extra})

    found = encoded_event(event)

    assert LogRecord.FromString(found.SerializeToString()) == found
    assert len(found.attributes) == (len(fields) if isinstance(fields, dict) else 0) + 1


def test_records_can_be_added_by_callers_with_the_common_fields_of_a_line() -> None:
    logs = encoder()
    common = logs.add_line(function_line(), line("x", 9, "INFO"), invocation())

    logs.records("function").add(
        at(1), observed=encode_observed_time(OBSERVED_NS), common=common, body="y", attributes=b""
    )

    fields: dict[str, Any] = {"severity_number": 9, "severity_text": "INFO", **ids(TRACE_ID, SPAN_ID)}
    assert [one for _, one in read(logs.take())] == [
        record("x", {"faas.invocation_id": "a"}, **fields),
        record("y", {"faas.invocation_id": "a"}, time_unix_nano=at(1), **fields),
    ]
