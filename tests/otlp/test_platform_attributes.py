import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.otlp.platform_attributes import (
    ATTRIBUTES,
    DEBUG,
    INFO,
    WARN,
    describe,
    find_severity,
    map_envelope,
    map_fields,
    map_unshown,
)
from telemetry_forwarder.telemetry.platform_events import read_event
from tests.support.properties import FAST
from tests.support.strategies import JSON
from tests.telemetry.test_platform_events import EVENTS, SPANS, TRACING


def test_names_follow_the_conventions_and_units_are_seconds_and_bytes() -> None:
    fields = {
        "requestId": "a",
        "status": "error",
        "errorType": "Runtime.ExitError",
        "metrics": {
            "durationMs": 18.074,
            "billedDurationMs": 19,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 84.5,
            "producedBytes": 17,
        },
        "tracing": TRACING,
        "spans": SPANS,
    }

    assert map_fields(fields) == {
        "faas.invocation_id": "a",
        "lambda.status": "error",
        "error.type": "Runtime.ExitError",
        "lambda.duration": 0.018074,
        "lambda.billed_duration": 0.019,
        "lambda.memory_size": 134_217_728,
        "lambda.max_memory_used": 88_604_672,
        "lambda.produced_bytes": 17,
        "lambda.tracing.span_id": TRACING["spanId"],
        "lambda.tracing.type": TRACING["type"],
        "lambda.tracing.value": TRACING["value"],
        "lambda.spans": SPANS,
    }


@pytest.mark.parametrize(("given_memory", "memory"), [(256, 268_435_456), (268_435_456, 268_435_456), (0, 0), (-1, -1)])
def test_instance_memory_is_bytes_in_either_of_lambdas_units(given_memory: int, memory: int) -> None:
    assert map_fields({"instanceMaxMemory": given_memory}) == {"faas.max_memory": memory}


@pytest.mark.parametrize("value", ["soon", True, None, [1], {}, math.inf, -math.inf, 10**400, 2**50])
def test_a_value_that_is_not_the_expected_number_is_unchanged(value: Any) -> None:
    assert map_fields({"metrics": {"durationMs": value, "memorySizeMB": value}}) == {
        "lambda.duration": value,
        "lambda.memory_size": value,
    }


def test_unknown_fields_are_in_our_own_namespace() -> None:
    fields = {"new": {"a": 1}, "metrics": {"newMs": 5}, "tracing": "text", "spans": None}

    assert map_fields(fields) == {
        "lambda.new": {"a": 1},
        "lambda.metrics.newMs": 5,
        "lambda.tracing": "text",
        "lambda.spans": None,
    }


def test_fields_with_the_same_name_stay_distinct() -> None:
    fields = {"version": "7", "functionVersion": "8", "duration": 5, "metrics": {"durationMs": 5}, "tracing": {}}

    assert map_fields(fields) == {
        "faas.version": "7",
        "faas.version_": "8",
        "lambda.duration": 5,
        "lambda.duration_": 0.005,
        "lambda.tracing": {},
    }


def test_members_of_the_envelope_have_their_own_namespace() -> None:
    assert map_envelope({"time": "noon", "new": 1}) == {"lambda.envelope.time": "noon", "lambda.envelope.new": 1}
    assert map_envelope(None) == {}


SEVERITIES = [
    (INFO, "initStart", {"runtimeVersion": "python:3.13.v60"}),
    (DEBUG, "initStart", {"runtimeVersion": ""}),
    (DEBUG, "initRuntimeDone", {"status": "success"}),
    (WARN, "initRuntimeDone", {"status": "error"}),
    (DEBUG, "initReport", {"initializationType": "on-demand"}),
    (INFO, "initReport", {"initializationType": "snap-start", "status": "success"}),
    (WARN, "initReport", {"initializationType": "on-demand", "status": "timeout"}),
    (INFO, "start", {}),
    (DEBUG, "runtimeDone", {}),
    (WARN, "runtimeDone", {"status": "failure"}),
    (INFO, "report", {"status": "success"}),
    (WARN, "report", {"status": "timeout"}),
    (INFO, "restoreStart", {}),
    (DEBUG, "restoreRuntimeDone", {"status": "success"}),
    (WARN, "restoreRuntimeDone", {"status": "error"}),
    (INFO, "restoreReport", {"status": "success"}),
    (WARN, "restoreReport", {"status": "error"}),
    (INFO, "extension", {"state": "Ready"}),
    (WARN, "extension", {"state": "LaunchError"}),
    (WARN, "extension", {"state": "Ready", "errorType": "Extension.Crash"}),
    (INFO, "telemetrySubscription", {}),
    (WARN, "logsDropped", {}),
    (WARN, "fault", {}),
    (INFO, "end", {}),
    (INFO, "unheardOf", {"status": "error"}),
]


@pytest.mark.parametrize(("number", "name", "fields"), SEVERITIES)
def test_severity_is_lambdas_own_level(number: int, name: str, fields: dict[str, Any]) -> None:
    assert find_severity(read_event(f"platform.{name}", fields, time_ns=0, observed_ns=0)) == number


@FAST
@given(
    st.dictionaries(
        st.sampled_from([*ATTRIBUTES, *{key for _, fields, *_ in EVENTS for key in fields}]) | st.text(), JSON
    )
)
def test_no_field_is_lost(fields: dict[str, Any]) -> None:
    leaves = [
        leaf
        for key, value in fields.items()
        for leaf in (value if key in ("metrics", "tracing") and isinstance(value, dict) and value else [key])
    ]

    assert len(map_fields(fields)) == len(leaves)


BODIES = [
    (
        "initStart",
        {"runtimeVersion": "python:3.13.v60", "initializationType": "on-demand", "phase": "init", "functionName": "f"},
        "INIT_START Runtime: python:3.13.v60 Type: on-demand Phase: init",
    ),
    ("initRuntimeDone", {"phase": "init", "status": "success"}, "INIT_RUNTIME_DONE Phase: init"),
    (
        "initReport",
        {"phase": "init", "status": "timeout", "metrics": {"durationMs": 10_008.2}},
        "INIT_REPORT Phase: init Duration: 10008.2 ms Status: timeout",
    ),
    ("restoreStart", {"functionName": "f"}, "RESTORE_START"),
    (
        "restoreRuntimeDone",
        {"status": "error", "errorType": "Runtime.ExitError"},
        "RESTORE_RUNTIME_DONE Status: error Error: Runtime.ExitError",
    ),
    ("restoreReport", {"status": "success", "metrics": {"durationMs": 15.19}}, "RESTORE_REPORT Duration: 15.19 ms"),
    ("start", {"requestId": "a-1", "version": "7", "tracing": TRACING}, "START RequestId: a-1 Version: 7"),
    (
        "runtimeDone",
        {"requestId": "a-1", "status": "success", "metrics": {"durationMs": 209.5, "producedBytes": 0}},
        "RUNTIME_DONE Duration: 209.5 ms Produced: 0 bytes",
    ),
    (
        "report",
        {
            "requestId": "a-1",
            "metrics": {
                "durationMs": 12.5,
                "billedDurationMs": 13,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 90,
                "initDurationMs": 210.0,
            },
            "status": "success",
        },
        "REPORT Duration: 12.5 ms Billed: 13 ms Memory: 90 of 128 MB Init: 210 ms",
    ),
    ("report", {"metrics": {"memorySizeMB": 128, "restoreDurationMs": 1.25}}, "REPORT Memory: 128 MB Restore: 1.25 ms"),
    (
        "extension",
        {"name": "other", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
        "EXTENSION Name: other State: Ready Events: INVOKE, SHUTDOWN",
    ),
    (
        "telemetrySubscription",
        {"name": "other", "state": "Subscribed", "types": ["platform"]},
        "TELEMETRY Name: other State: Subscribed Types: platform",
    ),
    (
        "logsDropped",
        {"reason": "slow consumer", "droppedRecords": 3, "droppedBytes": 99},
        "LOGS_DROPPED Records: 3 Bytes: 99 Reason: slow consumer",
    ),
    ("unheardOf", {"new": 1, "status": "error"}, "UNHEARD_OF Status: error"),
    # Any value may be of any type.
    ("start", {"requestId": None, "version": True}, "START RequestId:  Version: true"),
    (
        "extension",
        {"name": {"a": [1]}, "events": [], "state": "x" * 300},
        'EXTENSION Name: {"a":[1]} State: ' + "x" * 256,
    ),
    ("fault", "RequestId: a-1 Error: exit", "RequestId: a-1 Error: exit"),
    ("report", None, None),
]


@pytest.mark.parametrize(("name", "fields", "body"), BODIES)
def test_body_is_a_line_that_a_person_can_read(name: str, fields: Any, body: Any) -> None:
    assert describe(read_event(f"platform.{name}", fields, time_ns=0, observed_ns=0)) == body


def test_every_type_of_event_has_a_body() -> None:
    assert {type_.removeprefix("platform.") for type_, *_ in EVENTS} <= {name for name, *_ in BODIES}


def test_body_of_a_deep_list_is_written() -> None:
    nested: list[Any] = []
    for _ in range(2_000):
        nested = [nested]

    assert str(describe(read_event("platform.extension", {"events": nested}, time_ns=0, observed_ns=0))).startswith(
        "EXTENSION Events: [[["
    )


def unshown(*events: tuple[str, Any]) -> dict[str, Any]:
    read = [read_event(f"platform.{name}", fields, time_ns=0, observed_ns=0) for name, fields in events]
    return dict(map_unshown(read))


def test_a_span_has_what_only_its_events_say() -> None:
    tracing = {"requestId": "a", "tenantId": "t", "tracing": TRACING, "spans": SPANS, "status": "success"}

    assert unshown(
        ("start", {**tracing, "version": "7", "functionArn": "arn:f"}),
        ("runtimeDone", {**tracing, "metrics": {"durationMs": 209.5, "producedBytes": 17}}),
        ("report", {**tracing, "metrics": {"durationMs": 258.12, "billedDurationMs": 722, "maxMemoryUsedMB": 96}}),
    ) == {
        "aws.lambda.invoked_arn": "arn:f",
        "lambda.produced_bytes": 17,
        "lambda.duration": 0.25812,
        "lambda.billed_duration": 0.722,
        "lambda.max_memory_used": 100_663_296,
    }


def test_a_span_of_a_phase_has_what_only_its_events_say() -> None:
    assert unshown(
        ("initStart", {"phase": "init", "runtimeVersion": "python:3.13.v60", "tracing": {"spanId": "a"}}),
        ("initReport", {"phase": "init", "metrics": {"durationMs": 125.33}, "spans": SPANS}),
    ) == {"lambda.runtime_version": "python:3.13.v60", "lambda.tracing.span_id": "a", "lambda.duration": 0.12533}


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({"new": 1, "metrics": {"new": 2.5}}, {"lambda.new": 1, "lambda.metrics.new": 2.5}),
        ({"status": 5, "metrics": {"durationMs": "soon"}}, {"lambda.status": 5, "lambda.duration": "soon"}),
        ({"metrics": "none", "tracing": "none"}, {"lambda.metrics": "none", "lambda.tracing": "none"}),
        ({"a": {"b": [1]}, "c": [True], "d": 2**63, "e": True}, {
            "lambda.a": '{"b":[1]}', "lambda.c": "[true]", "lambda.d": "9223372036854775808", "lambda.e": True
        }),
        ({"a": None, "b": {}, "c": [], "d": "", "metrics": {}}, {}),
        ({"\ud800": ["\ud800"]}, {"lambda.\\ud800": '["\\ud800"]'}),
        ({}, {}),
        ("no object", {}),
    ],
)  # fmt: skip
def test_what_is_new_or_of_another_type_is_on_the_span(fields: Any, attributes: dict[str, Any]) -> None:
    assert unshown(("report", fields)) == attributes


def test_members_of_the_envelope_are_on_the_span() -> None:
    event = read_event("platform.start", {}, time_ns=0, observed_ns=0, extra={"new": {"a": 1}})

    assert map_unshown([event]) == {"lambda.envelope.new": '{"a":1}'}
