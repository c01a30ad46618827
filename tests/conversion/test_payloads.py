"""Checks that every value of a post is found in the output.

`records/` contains posts in the shapes that Lambda sends. Captures of real posts are tested too, if there are any in
`shared/payloads` next to the checkout: they must not be published.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import LOGS, METRICS, SPANS, Batch
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.timestamps import parse_time_ns
from tests.support.otlp_messages import attributes, log_records, plain, spans
from tests.support.paths import PROJECT, RECORDS
from tests.support.posts import OBSERVED_NS
from tests.support.properties import FAST
from tests.support.stories import counted_ids

HERE = RECORDS
CAPTURES = PROJECT.parent / "shared" / "payloads"
FILES = [*HERE.glob("*.json"), *CAPTURES.glob("*.json")]
RAW_FILES = [*HERE.glob("raw/*.txt"), *CAPTURES.glob("raw/*.txt")]
REQUESTS: dict[str, Any] = {
    LOGS: ExportLogsServiceRequest,
    SPANS: ExportTraceServiceRequest,
    METRICS: ExportMetricsServiceRequest,
}

# Factors by which numbers are converted to the units of the output.
UNITS = {r"metrics\.(\w+D|d)urationMs": 1 / 1_000, r"metrics\.\w+MB|instanceMaxMemory": 1_048_576}


def conversion(*, is_managed: bool = False) -> Converter:
    return Converter(
        Settings({"TELEMETRY_FORWARDER_PLATFORM_LOGS": "all"}),
        Resource({"faas.name": "orders"}),
        Ledger(),
        version="0",
        temporality="delta",
        is_managed=is_managed,
        new_id=counted_ids(),
        unix_ns=lambda: OBSERVED_NS,
    )


def converted(bodies: Iterable[bytes], *, is_managed: bool = False) -> list[Batch]:
    """Return all batches of *bodies*, including those at SHUTDOWN; every request can be parsed."""
    one = conversion(is_managed=is_managed)
    batches: list[Batch] = []
    for body in bodies:
        batches += one.convert(body, OBSERVED_NS).batches
        batches += one.collect(OBSERVED_NS)
    one.finish("spindown", OBSERVED_NS)
    batches += one.collect(OBSERVED_NS)
    for batch in batches:
        REQUESTS[batch.signal].FromString(batch.body)
    return batches


def logs(batches: Iterable[Batch]) -> list[LogRecord]:
    return [record for _, record in scoped(batches)]


def scoped(batches: Iterable[Batch]) -> list[tuple[str, LogRecord]]:
    """Return the log records, each with the name of its scope."""
    return [
        (scope.name, record)
        for batch in batches
        if batch.signal == LOGS
        for _, scope, record in log_records(ExportLogsServiceRequest.FromString(batch.body))
    ]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that contains no other, with its path: `record.metrics.durationMs`."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


class Values:
    """All values of a log record, and its scope."""

    def __init__(self, scope: str, record: LogRecord) -> None:
        values = {"body": plain(record.body), **attributes(record.attributes)}
        self.leaves = [leaf for _, leaf in leaves(values)]
        self.leaves += [record.severity_text, record.event_name, scope.removeprefix("aws.lambda.")]
        self.time_ns = record.time_unix_nano
        ids = [record.trace_id.hex(), record.span_id.hex()]
        self.text = "\n".join([*ids, *[leaf for leaf in self.leaves if isinstance(leaf, str)]])
        self.words = set(re.findall(r"\w+", self.text))

    def has(self, path: str, value: Any) -> bool:
        match value:
            case str():
                return self._has_text(value)
            case bool() | None:
                return any(leaf is value for leaf in self.leaves)
            case int() | float():
                is_there = any(type(leaf) is type(value) and leaf == value for leaf in self.leaves)
                # OTLP has no integers beyond 64 bits: it is the nearest float, or text.
                is_large = abs(value) >= 2**63 and (self._has_number(value) or str(value) in self.leaves)
                return is_there or is_large or any(self._has_number(value * factor) for factor in factors(path))
            case _:
                return value in self.leaves

    def _has_text(self, text: str) -> bool:
        if text.rstrip("\n") in self.leaves or self._is_time(text):
            return True
        try:
            return all(self.has("", leaf) for _, leaf in leaves(json.loads(text)))
        except ValueError:
            # A line in a runtime's format, which was parsed.
            timeless = re.sub(
                r"\d{4}-\d\d-\d\dT[\d:.]+Z", lambda moment: " " * self._is_time(moment[0]) or moment[0], text
            )
            return set(re.findall(r"\w+", timeless)) <= self.words

    def _is_time(self, text: str) -> bool:
        """Return whether *text* is the record's time, or its whole second; ignores the index that keeps the order."""
        moment_ns = parse_time_ns(text)
        return moment_ns != 0 and (
            0 <= self.time_ns - moment_ns < 1_000_000 or self.time_ns // 10**9 * 10**9 == moment_ns
        )

    def _has_number(self, number: float) -> bool:
        numbers = [leaf for leaf in self.leaves if isinstance(leaf, int | float) and not isinstance(leaf, bool)]
        return any(math.isclose(leaf, number, abs_tol=1e-12) for leaf in numbers)


def factors(path: str) -> list[float]:
    return [factor for pattern, factor in UNITS.items() if re.fullmatch(rf"record\.({pattern})", path)]


def lost(event: Any) -> list[tuple[str, Any]]:
    """Return the values of *event* that its log record does not contain."""
    ((scope, record),) = scoped(converted([json.dumps([event]).encode()]))
    values = Values(scope, record)
    return [(path, value) for path, value in leaves(event) if not values.has(path, value) and not excused(path, event)]


def excused(path: str, event: Any) -> bool:
    """Return whether a value may be missing."""
    record = event.get("record")
    # The line has a time of its own, and the observed time is close to that of the event.
    if path == "time" and isinstance(record, str | dict):
        return bool(re.search(r"\d{4}-\d\d-\d\d[T ]\d\d", json.dumps(record)))
    # A member without a value is left out.
    return path in ("time", "type", "record") and event[path] in ("", None, {})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_value_of_an_event_is_lost(path: Path) -> None:
    events = json.loads(path.read_bytes())

    assert [(event, lost(event)) for event in events if lost(event)] == []


@pytest.mark.parametrize("is_managed", [False, True])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_post_becomes_a_record_for_each_event(path: Path, is_managed: bool) -> None:
    """Duplicate platform events become none."""
    body = path.read_bytes()
    events = json.loads(body)
    lines = [event for event in events if event.get("type") in ("function", "extension")]
    unique_events = {json.dumps(event) for event in events if event not in lines}

    assert len(logs(converted([body], is_managed=is_managed))) == len(unique_events) + len(lines)
    assert len(logs(converted([body, body], is_managed=is_managed))) == len(unique_events) + 2 * len(lines)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_invocation_becomes_a_span(path: Path) -> None:
    body = path.read_bytes()
    ids = {
        event["record"]["requestId"]
        for event in json.loads(body)
        if event.get("type") in ("platform.start", "platform.runtimeDone", "platform.report")
        and isinstance(event["record"], dict)
        and "requestId" in event["record"]
    }

    found = [
        attributes(span.attributes).get("faas.invocation_id")
        for batch in converted([body])
        if batch.signal == SPANS
        for *_, span in spans(ExportTraceServiceRequest.FromString(batch.body))
    ]

    assert {one for one in found if one} == ids


RAW_POSTS: dict[str, list[Any]] = {
    "cut_1_head.txt": ['{"message":"PLUM'],
    "cut_2_tail.txt": ['QUINCE"}', "RUNTIME_DONE Duration: 21.625 ms Produced: 298 bytes"],
    "cut_within_a_post.txt": ["Käse und Käse x", "RUNTIME_DONE Duration: 21.625 ms Produced: 298 bytes"],
    "missing_value.txt": ["REPORT Duration: 22.75 ms"],
    "not_finite.txt": [{"a": "1e999", "b": "nan", "c": "-inf"}, "lone \\ud83d half"],
    "lines.txt": ["one", "RUNTIME_DONE Duration: 21.625 ms Produced: 298 bytes"],
    "datadog-agent-invalid-tracing.txt": [
        "REPORT Duration: 118.59 ms Billed: 119 ms Memory: 157 of 1024 MB Init: 1111.03 ms"
    ],
    "split-1-head.txt": ['{"message":"AAAA'],
    "split-2-tail.txt": ['BBBB"}', "RUNTIME_DONE Duration: 18.074 ms Produced: 329814 bytes"],
    "split-within-one-post.txt": ["café café x", "RUNTIME_DONE"],
}


@pytest.mark.parametrize("path", RAW_FILES, ids=lambda path: path.name)
def test_post_that_is_not_json_is_read_as_far_as_possible(path: Path) -> None:
    found = [plain(record.body) for record in logs(converted([path.read_bytes()]))]

    assert found == RAW_POSTS[path.name]


def test_a_report_with_a_missing_value_loses_no_other() -> None:
    (record,) = logs(converted([(HERE / "raw" / "missing_value.txt").read_bytes()]))

    assert attributes(record.attributes) == {
        "faas.invocation_id": "jar-9",
        "lambda.duration": 0.02275,
        "lambda.tracing": None,
    }


def test_parts_of_a_record_are_joined_across_posts() -> None:
    head, tail = ((HERE / "raw" / name).read_bytes() for name in ("cut_1_head.txt", "cut_2_tail.txt"))

    bodies = [plain(record.body) for record in logs(converted([head, tail]))]

    assert bodies == ["PLUMQUINCE", "RUNTIME_DONE Duration: 21.625 ms Produced: 298 bytes"]


def test_parts_of_a_record_are_joined_within_a_post() -> None:
    (line, done) = logs(converted([(HERE / "raw" / "cut_within_a_post.txt").read_bytes()]))

    assert (plain(line.body), attributes(line.attributes), line.severity_text) == (
        "Käse und Käse x",
        {"n": -250.0},
        "info",
    )
    assert done.event_name == "platform.runtimeDone"


@FAST
@given(st.sampled_from([*HERE.glob("*.json"), *HERE.glob("raw/*.txt")]), st.data())
def test_any_mutation_of_a_post_is_converted(path: Path, data: st.DataObject) -> None:
    body = path.read_bytes()
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 40)))
    mutated = body[:start] + data.draw(st.binary(max_size=4)) + body[end:]

    for record in logs(converted([mutated])):
        assert (len(record.trace_id) in (0, 16), len(record.span_id) in (0, 8)) == (True, True)


MUTATIONS: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "text", -1, 0.5, 10**400, float("nan"), float("inf"), True, [], {}, ["\ud800"]]
)


@FAST
@given(st.sampled_from(list(HERE.glob("*.json"))), st.data())
def test_any_value_in_a_post_may_be_any_other(path: Path, data: st.DataObject) -> None:
    events = json.loads(path.read_bytes())
    for _ in range(5):
        event = data.draw(st.sampled_from(events))
        places = [(event, key) for key in event]
        if isinstance(event.get("record"), dict):
            places += [(event["record"], key) for key in event["record"]]
            places += [(inner, key) for inner in event["record"].values() if isinstance(inner, dict) for key in inner]
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = data.draw(MUTATIONS)

    assert len(logs(converted([json.dumps(events).encode()]))) <= len(events)
