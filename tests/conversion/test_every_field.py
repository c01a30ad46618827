"""With the default settings, every field of every platform event is somewhere in what is exported."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import Batch
from telemetry_forwarder.otlp.resource import describe_function
from telemetry_forwarder.settings import Settings
from tests.support import otlp_messages as otlp
from tests.support.stories import counted_ids

RECORDS = Path(__file__).parents[1] / "records"
MB = 1_048_576
ENVIRON = {
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "7",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
}
NOWHERE = {
    "record.tracing.type": "it is the name of the header, which is always the same",
    "record.tracing.value Sampled": "it is about X-Ray's spans; the setting SAMPLING follows it",
    "record.tracing.value Self": "it is about the segments of the load balancer",
    "record.tracing.value Lineage": "it is how Lambda recognises loops",
    "platform.initReport time": "of an init in advance: Lambda sends it with the first invocation, however late",
    "platform.report time": "the phases that it reports have their own times",
}
"""What is in no signal, and why."""


def at(seconds: int, ms: int) -> str:
    return f"2026-10-08T06:30:{seconds:02}.{ms:03}Z"


def event(time: str, type_: str, **record: Any) -> dict[str, Any]:
    return {"time": time, "type": f"platform.{type_}", "record": record}


def phase_span(name: str, time: str, duration_ms: float) -> dict[str, Any]:
    return {"name": name, "start": time, "durationMs": duration_ms}


def instance(stream: str) -> dict[str, Any]:
    return {
        "functionName": "orders",
        "functionVersion": "7",
        "instanceId": stream,
        "instanceMaxMemory": 128 * MB,
        "runtimeVersion": f"python:3.13.{stream[-3:]}",
        "runtimeVersionArn": f"arn:aws:lambda:eu-west-1::runtime:{stream[-3:]}",
    }


def header(number: int) -> dict[str, str]:
    value = f"Root=1-68e0e0e0-{number:024x};Parent={number + 1:016x};Sampled=1;Self=1-2-3;Lineage=1:2:3"
    return {"spanId": f"{number + 2:016x}", "type": "X-Amzn-Trace-Id", "value": value}


FAILED = {"status": "error", "errorType": "Runtime.ExitError"}
# Every value of a number is another one, so that it is found only where it belongs.
COLD_START = [
    event(
        at(0, 1), "initStart", initializationType="on-demand", phase="init", functionArn="arn:f",
        **instance("2026/10/08/orders[7]0123456789abcdef0123456789abcabc"),
        tracing=header(70),
    ),
    event(
        at(0, 310), "initRuntimeDone", initializationType="on-demand", phase="init", status="success",
        spans=[phase_span("aSpan", at(0, 2), 11.5)], tracing=header(70),
    ),
    event(
        at(0, 321), "initReport", initializationType="on-demand", phase="init", status="success",
        metrics={"durationMs": 320.125}, spans=[phase_span("anotherSpan", at(0, 3), 12.5)],
    ),
    event(at(0, 322), "extension", name="x", state="Ready", events=["INVOKE", "SHUTDOWN"], errorType="Extension.Crash"),
    event(at(0, 323), "telemetrySubscription", name="y", state="Subscribed", types=["platform", "function"]),
    event(at(0, 324), "logsDropped", droppedBytes=9_973, droppedRecords=97, reason="slow consumer"),
    event(
        at(1, 0), "start", requestId="id-1", version="7", functionArn="arn:f:7", tenantId="tenant-1", tracing=header(10)
    ),
    event(
        at(1, 210), "runtimeDone", requestId="id-1", status="success", tenantId="tenant-1",
        metrics={"durationMs": 209.5, "producedBytes": 1_733},
        spans=[
            phase_span("responseLatency", at(1, 1), 200.75),
            phase_span("responseDuration", at(1, 202), 0.05),
            phase_span("runtimeOverhead", at(1, 203), 2.3),
        ],
        tracing=header(10),
    ),
    event(
        at(1, 262), "report", requestId="id-1", status="success", tenantId="tenant-1",
        metrics={
            "durationMs": 258.12, "billedDurationMs": 722, "memorySizeMB": 128, "maxMemoryUsedMB": 97,
            "initDurationMs": 463.51, "restoreDurationMs": 201.25, "billedRestoreDurationMs": 203,
        },
        spans=[phase_span("extensionOverhead", at(1, 211), 48.4)], tracing=header(10),
    ),
]  # fmt: skip
SNAP_START = [
    event(at(0, 1), "initStart", initializationType="snap-start", phase="snap-start", **instance("one-of-no-stream")),
    event(at(0, 300), "initRuntimeDone", initializationType="snap-start", phase="snap-start", status="success"),
    event(
        at(4, 0), "initReport", initializationType="snap-start", phase="snap-start", status="success",
        metrics={"durationMs": 320.125},
    ),
    event(at(5, 0), "restoreStart", **instance("2026/10/08/orders[7]fedcba9876543210fedcba987654fed")),
    event(at(5, 150), "restoreRuntimeDone", spans=[phase_span("aSpan", at(5, 2), 11.5)], **FAILED),
    event(at(5, 160), "restoreReport", metrics={"durationMs": 151.5}, spans=[phase_span("b", at(5, 3), 1.5)], **FAILED),
    event(at(6, 0), "start", requestId="id-1", version="7", tracing=header(10)),
    event(at(6, 210), "runtimeDone", requestId="id-1", metrics={"durationMs": 209.5}, **FAILED),
    event(
        at(6, 262), "report", requestId="id-1", metrics={"durationMs": 258.12, "restoreDurationMs": 201.25}, **FAILED
    ),
]  # fmt: skip
# What is newer than this extension, and values of other types than documented.
ODD = [
    event(
        at(0, 1), "initStart", initializationType=5, phase="init", new="new-1", functionName="other",
        functionVersion="8", instanceMaxMemory=64 * MB,
    ),
    event(at(0, 310), "initReport", phase="init", status=["odd"], metrics={"durationMs": "321.5", "new": "new-2"}),
    event(at(1, 0), "start", requestId="id-1", tenantId={"a": "tenant-2"}, new3={"a": ["new-3"]}, large=2**70),
    event(at(1, 210), "runtimeDone", requestId="id-1", metrics={"durationMs": "209.5", "new4": 17.125}, errorType=5.5),
    event(at(1, 262), "report", requestId="id-1", metrics="no-object", spans="no-list", tracing="no-header", new5=True),
    {**event(at(2, 0), "start", requestId="id-2"), "member": "member-1"},
    {**event(at(2, 1), "runtimeDone", requestId="id-2", status="success"), "member2": "member-2"},
    {**event(at(2, 2), "report", requestId="id-2", status="timeout"), "member3": "member-3"},
]  # fmt: skip
STORIES = {"cold start": COLD_START, "SnapStart": SNAP_START, "odd": ODD}


class Exported:
    """All values of what was exported."""

    def __init__(self, batches: list[Batch]) -> None:
        self.values: list[Any] = []
        self.times: set[int] = set()
        self.spans: set[tuple[str, int, int]] = set()
        for batch in batches:
            path = f"/v1/{batch.signal}"
            of_signal = {otlp.LOGS: otlp.log_records, otlp.SPANS: otlp.spans, otlp.METRICS: otlp.metrics}[path]
            for resource, _, item in of_signal(otlp.REQUESTS[path].FromString(batch.body)):
                self.values += resource.values()
                {otlp.LOGS: self._add_log, otlp.SPANS: self._add_span, otlp.METRICS: self._add_metric}[path](item)

    def _add_log(self, log: Any) -> None:
        self.values += [*otlp.attributes(log.attributes).values(), otlp.plain(log.body), log.event_name]
        self.values += [log.trace_id.hex(), log.span_id.hex()]
        self.times.add(log.time_unix_nano)

    def _add_span(self, span: Any) -> None:
        self.values += otlp.attributes(span.attributes).values()
        self.values += [span.trace_id.hex(), span.span_id.hex(), *[link.span_id.hex() for link in span.links]]
        self.times |= {span.start_time_unix_nano, span.end_time_unix_nano}
        self.spans.add((span.name, span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano))

    def _add_metric(self, metric: Any) -> None:
        is_histogram = metric.WhichOneof("data") == "histogram"
        self.values += [point.sum if is_histogram else point.as_int for point in otlp.points(metric)]

    def has(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            is_in_text = isinstance(value, str) and any(value in text for text in self._texts())
            return is_in_text or any(value == one or (isinstance(one, list) and value in one) for one in self.values)
        # Durations become seconds, and memory becomes bytes.
        numbers = [number for number in self.values if isinstance(number, int | float)]
        is_number = any(abs(number - value * factor) < 1e-9 for number in numbers for factor in (1, 0.001, MB))
        return is_number or any(str(value) in text for text in self._texts())

    def _texts(self) -> Iterator[str]:
        for value in self.values:
            yield from value if isinstance(value, list) else ()
            if isinstance(value, str):
                yield value

    def missing(self, events: list[Any]) -> list[str]:
        """Return what of *events* is nowhere."""
        return [
            place
            for one in events
            for place, is_found in self.places(one)
            if not is_found and place not in NOWHERE and place.partition(" ")[2] not in NOWHERE
        ]

    def places(self, one: dict[str, Any]) -> Iterator[tuple[str, bool]]:
        """Yield the places of all values of an event, and whether each is found."""
        for path, value in leaves(one):
            place = f"{one['type']} {path}"
            if path == "time":
                yield place, nanoseconds(value) in self.times
            elif path == "record.tracing.value":
                yield from ((f"{place} {part}", is_found) for part, is_found in self._parts_of_header(value))
            elif path == "record.spans" and isinstance(value, dict):
                duration_ns = round(value["durationMs"] * 1_000_000)
                yield place, (value["name"], nanoseconds(value["start"]), duration_ns) in self.spans
            elif path != "type":
                yield place, self.has(value)

    def _parts_of_header(self, text: str) -> Iterator[tuple[str, bool]]:
        is_complete = self.has(text)
        for part in text.split(";"):
            name, _, value = part.partition("=")
            yield (
                name,
                is_complete or (name in ("Root", "Parent") and self.has(value.removeprefix("1-").replace("-", ""))),
            )


def nanoseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1_000) * 1_000_000


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that contains no other, and every reported phase, with its path."""
    for key, inner in value.items():
        inner_path = f"{path}.{key}" if path else key
        if isinstance(inner, dict):
            yield from leaves(inner, inner_path)
        elif isinstance(inner, list):
            for item in inner:
                yield inner_path, item
        else:
            yield inner_path, inner


def exported(events: list[Any], *, collects_between: bool) -> Exported:
    """Convert *events* with the default settings, and take spans and metrics after each of them, or once."""
    now_ns = nanoseconds(at(10, 0))
    converter = Converter(
        Settings({}),
        describe_function(ENVIRON, {}, []),
        Ledger(),
        version="1",
        temporality="delta",
        is_managed=False,
        new_id=counted_ids(),
        unix_ns=lambda: now_ns,
    )
    batches: list[Batch] = []
    for one in events:
        batches += converter.convert(json.dumps([one]).encode(), now_ns).batches
        batches += converter.collect(now_ns) if collects_between else []
    converter.finish("spindown", now_ns)
    return Exported([*batches, *converter.collect(now_ns)])


@pytest.mark.parametrize("collects_between", [False, True], ids=["report in time", "report late"])
@pytest.mark.parametrize("story", STORIES)
def test_every_field_is_exported(story: str, collects_between: bool) -> None:
    events = STORIES[story]

    assert exported(events, collects_between=collects_between).missing(events) == []


@pytest.mark.parametrize("collects_between", [False, True], ids=["report in time", "report late"])
@pytest.mark.parametrize("name", ["cold_start", "failures", "managed_instances", "one_of_everything", "snapstart"])
def test_every_field_of_recorded_events_is_exported(name: str, collects_between: bool) -> None:
    recorded = json.loads((RECORDS / f"{name}.json").read_bytes())
    events = [one for one in recorded if one["type"].startswith("platform.") and isinstance(one["record"], dict)]

    assert exported(events, collects_between=collects_between).missing(events) == []


def test_nothing_is_called_nowhere_that_is_exported() -> None:
    found = {
        place
        for events in STORIES.values()
        for one in events
        for place, is_found in exported(events, collects_between=False).places(one)
        if not is_found
    }

    assert {place if place in NOWHERE else place.partition(" ")[2] for place in found} == set(NOWHERE)
