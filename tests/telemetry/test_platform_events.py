from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import (
    Event,
    ExtensionState,
    InitReport,
    InitRuntimeDone,
    InitStart,
    LogsDropped,
    PhaseSpan,
    Report,
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    RuntimeDone,
    Start,
    Tracing,
)
from tests.support.posts import MOMENT, MOMENT_NS, OBSERVED_NS
from tests.support.properties import FAST
from tests.support.strategies import JSON

TRACING = {
    "spanId": "54565fb41ac79632",
    "type": "X-Amzn-Trace-Id",
    "value": "Root=1-68e0e0e0-0123456789abcdef01234567;Parent=53995c3f42cd8ad8;Sampled=1",
}
READ_TRACING = Tracing("68e0e0e00123456789abcdef01234567", "53995c3f42cd8ad8", "54565fb41ac79632", True)
SPANS = [{"name": "responseLatency", "start": MOMENT, "durationMs": 18.074}]
READ_SPANS = (PhaseSpan("responseLatency", MOMENT_NS, 0.018074),)
INSTANCE = {
    "functionName": "orders",
    "functionVersion": "7",
    "instanceId": "2026/09/22/orders[7]0123",
    "instanceMaxMemory": 268435456,
    "runtimeVersion": "python:3.13.v60",
    "runtimeVersionArn": "arn:aws:lambda:eu-west-1::runtime:0a1b",
}
INIT = {"initializationType": "on-demand", "phase": "init"}
FAILURE = {"status": "error", "errorType": "Runtime.ExitError"}

# Lambda's type and fields; the class, and its own fields.
EVENTS: list[tuple[str, dict[str, Any], type[Event], dict[str, Any]]] = [
    (
        "platform.initStart",
        {**INIT, **INSTANCE, "functionArn": "arn:f"},
        InitStart,
        {
            "initialization_type": "on-demand",
            "phase": "init",
            "instance_id": "2026/09/22/orders[7]0123",
            "runtime_version": "python:3.13.v60",
        },
    ),
    (
        "platform.initRuntimeDone",
        {**INIT, **FAILURE, "spans": SPANS},
        InitRuntimeDone,
        {
            "initialization_type": "on-demand",
            "phase": "init",
            "status": "error",
            "error_type": "Runtime.ExitError",
            "spans": READ_SPANS,
        },
    ),
    (
        "platform.initReport",
        {**INIT, **FAILURE, "metrics": {"durationMs": 125.33}, "spans": SPANS},
        InitReport,
        {
            "initialization_type": "on-demand",
            "phase": "init",
            "status": "error",
            "error_type": "Runtime.ExitError",
            "duration_s": 0.12533,
            "spans": READ_SPANS,
        },
    ),
    (
        "platform.start",
        {"requestId": "a", "version": "7", "functionArn": "arn:f", "tenantId": "t", "tracing": TRACING},
        Start,
        {"request_id": "a", "function_arn": "arn:f", "tenant_id": "t", "tracing": READ_TRACING},
    ),
    (
        "platform.runtimeDone",
        {
            "requestId": "a",
            "tenantId": "t",
            "metrics": {"durationMs": 209.5, "producedBytes": 17.0},
            "spans": SPANS,
            "tracing": TRACING,
            **FAILURE,
        },
        RuntimeDone,
        {
            "request_id": "a",
            "status": "error",
            "error_type": "Runtime.ExitError",
            "tenant_id": "t",
            "duration_s": 0.2095,
            "produced_bytes": 17,
            "spans": READ_SPANS,
            "tracing": READ_TRACING,
        },
    ),
    (
        "platform.report",
        {
            "requestId": "a",
            "tenantId": "t",
            "metrics": {
                "durationMs": 258.12,
                "billedDurationMs": 722,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 96.0,
                "initDurationMs": 463.51,
                "restoreDurationMs": 200.5,
                "billedRestoreDurationMs": 201,
            },
            "spans": SPANS,
            "tracing": TRACING,
            **FAILURE,
        },
        Report,
        {
            "request_id": "a",
            "status": "error",
            "error_type": "Runtime.ExitError",
            "tenant_id": "t",
            "duration_s": 0.25812,
            "billed_duration_s": 0.722,
            "memory_size_bytes": 134_217_728,
            "max_memory_used_bytes": 100_663_296,
            "restore_duration_s": 0.2005,
            "init_duration_s": 0.46351,
            "spans": READ_SPANS,
            "tracing": READ_TRACING,
        },
    ),
    (
        "platform.restoreStart",
        {**INSTANCE, "instanceMaxMemory": 256},
        RestoreStart,
        {"instance_id": "2026/09/22/orders[7]0123"},
    ),
    (
        "platform.restoreRuntimeDone",
        {**FAILURE, "spans": SPANS},
        RestoreRuntimeDone,
        {"status": "error", "error_type": "Runtime.ExitError", "spans": READ_SPANS},
    ),
    (
        "platform.restoreReport",
        {**FAILURE, "metrics": {"durationMs": 15.19}, "spans": SPANS},
        RestoreReport,
        {"status": "error", "error_type": "Runtime.ExitError", "duration_s": 0.01519, "spans": READ_SPANS},
    ),
    (
        "platform.extension",
        {"name": "other", "state": "Ready", "events": ["INVOKE"], "errorType": "Extension.Crash"},
        ExtensionState,
        {"state": "Ready", "error_type": "Extension.Crash"},
    ),
    (
        "platform.logsDropped",
        {"droppedRecords": 123, "droppedBytes": 12345, "reason": "slow"},
        LogsDropped,
        {"dropped_records": 123, "dropped_bytes": 12345},
    ),
]


@pytest.mark.parametrize(("type_", "fields", "kind", "read"), EVENTS)
def test_events_are_read_in_seconds_and_bytes(
    type_: str, fields: dict[str, Any], kind: type[Event], read: dict[str, Any]
) -> None:
    assert read_event(type_, fields, time_ns=MOMENT_NS, observed_ns=OBSERVED_NS) == kind(
        type_, MOMENT_NS, OBSERVED_NS, fields, **read
    )


@pytest.mark.parametrize(("type_", "fields", "kind", "read"), EVENTS)
@pytest.mark.parametrize("wrong", [None, [], {}, "text", -1, True, float("nan"), 1e30, 10**400])
def test_a_field_of_the_wrong_type_counts_as_absent(
    type_: str, fields: dict[str, Any], kind: type[Event], read: dict[str, Any], wrong: Any
) -> None:
    """Text is of the right kind for text, so it is put where numbers and objects are expected."""
    is_text = isinstance(wrong, str)
    mutated = {
        key: dict.fromkeys(value, wrong) if isinstance(value, dict) and not is_text else wrong
        for key, value in fields.items()
        if not (is_text and isinstance(value, str))
    }

    assert read_event(type_, mutated, time_ns=MOMENT_NS, observed_ns=OBSERVED_NS) == kind(
        type_, MOMENT_NS, OBSERVED_NS, mutated
    )


@pytest.mark.parametrize("type_", ["", "platform.unheardOf", "platform.end", "function"])
@pytest.mark.parametrize("fields", [None, {"requestId": "a"}, "text", 5])
def test_an_unknown_event_keeps_all_fields(type_: str, fields: Any) -> None:
    event = read_event(type_, fields, time_ns=MOMENT_NS, observed_ns=OBSERVED_NS, extra={"more": 1})

    assert event == Event(type_, MOMENT_NS, OBSERVED_NS, fields, {"more": 1})


@pytest.mark.parametrize("fields", [None, [1], "text", 5, {}])
@pytest.mark.parametrize("type_", [type_ for type_, *_ in EVENTS])
def test_a_known_event_can_be_empty(type_: str, fields: Any) -> None:
    kind = type(read_event(type_, fields, time_ns=0, observed_ns=OBSERVED_NS))

    assert read_event(type_, fields, time_ns=0, observed_ns=OBSERVED_NS) == kind(type_, 0, OBSERVED_NS, fields)


@pytest.mark.parametrize(
    "span",
    [
        5,
        {},
        {"name": "x", "start": MOMENT},
        {"name": "x", "durationMs": 1},
        {"start": MOMENT, "durationMs": 1},
        {"name": "x", "start": "noon", "durationMs": 1},
        {"name": "x", "start": MOMENT, "durationMs": 1e15},
    ],
)
def test_an_invalid_span_does_not_affect_others(span: Any) -> None:
    event = read_event("platform.restoreRuntimeDone", {"spans": [span, *SPANS]}, time_ns=0, observed_ns=0)

    assert event == RestoreRuntimeDone(event.type, 0, 0, event.fields, spans=READ_SPANS)


def test_a_colon_before_the_milliseconds_is_accepted() -> None:
    """AWS's own sample has it."""
    start = MOMENT.replace(".", ":")
    event = read_event(
        "platform.restoreRuntimeDone", {"spans": [{**SPANS[0], "start": start}]}, time_ns=0, observed_ns=0
    )

    assert event == RestoreRuntimeDone(event.type, 0, 0, event.fields, spans=READ_SPANS)


@FAST
@given(
    st.sampled_from([type_ for type_, *_ in EVENTS]) | st.text(),
    JSON
    | st.dictionaries(
        st.sampled_from([*{key for _, fields, *_ in EVENTS for key in fields}]),
        JSON | st.just(TRACING) | st.just(SPANS) | st.dictionaries(st.just("durationMs"), JSON),
    ),
)
def test_any_fields_can_be_read(type_: str, fields: Any) -> None:
    event = read_event(type_, fields, time_ns=MOMENT_NS, observed_ns=OBSERVED_NS)

    assert (event.type, event.time_ns, event.observed_ns) == (type_, MOMENT_NS, OBSERVED_NS)
    assert event.fields is fields
