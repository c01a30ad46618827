"""Stack traces that a program prints line by line."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.conversion.joined_lines import join_lines, may_be_split
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.log_formats.parser import read_line
from telemetry_forwarder.settings import Settings
from tests.support.otlp_messages import attributes, log_records
from tests.support.posts import OBSERVED_NS
from tests.support.stories import counted_ids

JAVA = [
    "boom: java.lang.IllegalStateException",
    "java.lang.IllegalStateException: boom",
    "\tat com.example.Handler.handleRequest(Handler.java:9)",
    "Caused by: java.io.IOException: disk",
    "\tat com.example.Store.read(Store.java:12)",
    "\t... 2 more",
]
PYTHON = [
    "Traceback (most recent call last):",
    '  File "/var/task/app.py", line 3, in f',
    "    fail()",
    "ValueError: bad",
]
RUBY = [
    "{",
    '  "errorMessage": "boom",',
    '  "errorType": "Function<ArgumentError>",',
    '  "stackTrace": [',
    '    "a.rb:3"',
    "  ]",
    "}",
]
GO = ["panic: boom", "", "goroutine 1 [running]:", "main.main()", "\t/var/task/main.go:4 +0x25", "exit status 2"]
RUST = ["thread 'main' panicked at src/main.rs:36:22:", "boom", "stack backtrace:", "   0: x::main", "note: with"]
NODE = ["TypeError: boom", "    at handler (/var/task/index.js:3:9)", "    at main (/var/task/index.js:9:1)"]
DOTNET = ["Unhandled exception. System.InvalidOperationException: boom", "   at App.Run() in /src/App.cs:line 3"]
TRACES = {"java": JAVA, "python": PYTHON, "ruby": RUBY, "go": GO, "rust": RUST, "node": NODE, ".net": DOTNET}
TYPES = {
    "java": ("java.lang.IllegalStateException", True),
    "python": ("ValueError", False),
    "ruby": ("Function<ArgumentError>", True),
    "go": ("panic", True),
    "rust": ("panic", True),
    "node": ("TypeError", False),
    ".net": ("System.InvalidOperationException", True),
}


def events_of(*lines: str, at_ms: int = 100, step_ms: int = 1) -> list[dict[str, Any]]:
    return [
        {"time": f"2026-09-22T06:30:00.{at_ms + index * step_ms:03}Z", "type": "function", "record": f"{line}\n"}
        for index, line in enumerate(lines)
    ]


def records(events: list[Any]) -> list[Any]:
    return [event["record"] for event in join_lines(events)]


@pytest.mark.parametrize("runtime", TRACES)
def test_a_stack_trace_becomes_one_record_with_its_exception(runtime: str) -> None:
    before, after = "before\n", "after\n"
    found = records([*events_of("before"), *events_of(*TRACES[runtime]), *events_of("after", at_ms=120)])

    assert found == [before, "\n".join([*TRACES[runtime], ""]), after]
    line = read_line(found[1])
    assert (line.exception_type, line.is_uncaught_exception) == TYPES[runtime]


@pytest.mark.parametrize(
    "lines",
    [
        ("one", "two"),
        ("one", ""),
        ("one", "   "),
        ("Traceback (most recent call last):", "  x", "no, that is a sentence"),
        ("boom: a.B", "c.D: boom"),
        ("{", "]"),
        ("one", "Caused by: two"),
    ],
)
def test_other_lines_stay_alone(lines: tuple[str, ...]) -> None:
    # The last one is not joined.
    assert records(events_of(*lines))[-1] == f"{lines[-1]}\n"


def test_lines_far_apart_stay_alone() -> None:
    assert len(records(events_of(*NODE, step_ms=5))) == 1
    assert len(records(events_of(*NODE, step_ms=6))) == 3
    assert len(records(events_of(*NODE, step_ms=-1))) == 3


def test_nothing_is_joined_across_another_event() -> None:
    events: list[Any] = events_of(*NODE)
    for between in (
        {"time": "x", "type": "platform.report", "record": {}},
        5,
        {**events[0], "new": 1},
        {"record": "x"},
    ):
        assert len(records_of([events[0], between, *events[1:]])) == 3


def records_of(events: list[Any]) -> list[Any]:
    return join_lines(events)


def test_a_group_is_bounded() -> None:
    assert [text.count("\n") for text in records(events_of("a", *[" b"] * 600, step_ms=0))] == [500, 101]
    assert [len(text) // 60_000 for text in records(events_of("a", *[" " + "b" * 60_000] * 5, step_ms=0))] == [2, 2, 1]


@given(st.lists(st.sampled_from([line for trace in TRACES.values() for line in trace] + ["", " ", "x", "}"])))
def test_no_line_is_lost_or_moved(lines: list[str]) -> None:
    found = records(events_of(*lines, step_ms=0))

    assert "\n".join(text.removesuffix("\n") for text in found) == "\n".join(lines)


def test_only_posts_with_indented_lines_are_searched() -> None:
    body = orjson.dumps(events_of("a", "\tb"))

    assert may_be_split(body, 0, len(body))
    assert may_be_split(orjson.dumps(events_of(" b")), 0, 1_000)
    assert not may_be_split(body, 0, 60)
    assert not may_be_split(orjson.dumps(events_of("a", "b")), 0, 1_000)


def converted(*lines: str, is_managed: bool = False, **settings: str) -> tuple[list[dict[str, Any]], Ledger]:
    ledger = Ledger()
    names = {f"TELEMETRY_FORWARDER_{name}": value for name, value in settings.items()}
    converter = Converter(
        Settings(names), Resource({}), ledger, version="0", temporality="delta", is_managed=is_managed,
        new_id=counted_ids(),
    )  # fmt: skip
    batches = converter.convert(orjson.dumps(events_of(*(lines or JAVA))), OBSERVED_NS).batches
    found = [log for batch in batches for *_, log in log_records(ExportLogsServiceRequest.FromString(batch.body))]
    return [attributes(log.attributes) for log in found], ledger


def test_joined_lines_are_counted() -> None:
    found, ledger = converted()

    assert [one["exception.type"] for one in found] == ["java.lang.IllegalStateException"]
    tally = ledger.snapshot().of(LOGS)
    assert (ledger.records_received, dict(tally.filtered)) == (
        len(JAVA),
        {"joined with the line before": len(JAVA) - 1},
    )


def test_an_indented_line_of_its_own_is_not_counted() -> None:
    found, ledger = converted(" indented")

    assert (len(found), dict(ledger.snapshot().of(LOGS).filtered)) == (1, {})


def test_joining_can_be_turned_off() -> None:
    assert len(converted(JOIN_LINES="false")[0]) == len(JAVA)
    assert len(converted(is_managed=True)[0]) == len(JAVA)
