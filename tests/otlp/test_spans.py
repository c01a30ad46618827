"""Spans of one trace are one tree: printed as text, and compared whole.

A printed line is a span: its name, its start and end in milliseconds, its status, attributes and links.
"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.resources import Resource

from telemetry_forwarder.core.batch import SPANS
from telemetry_forwarder.invocations.completed import Completed, LateSpans
from telemetry_forwarder.invocations.tracker import InvocationTracker
from telemetry_forwarder.otlp.resource import SCHEMA_URL, CurrentResource
from telemetry_forwarder.otlp.spans import SpanEncoder
from telemetry_forwarder.settings import PREFIX, Settings
from telemetry_forwarder.telemetry.records import Event, PhaseSpan, Tracing
from tests.support.completed import COMPLETED, invocation, phase
from tests.support.otlp_messages import attributes, spans
from tests.support.posts import MOMENT_NS, MS
from tests.support.properties import FAST
from tests.support.stories import (
    ARN,
    SPAN_ID,
    TRACE_ID,
    UPSTREAM,
    at,
    counted_ids,
    done,
    init_done,
    init_report,
    init_start,
    platform_event,
    report,
    span,
    start,
    tracing,
)

RESOURCE = Resource({"faas.name": "orders", "faas.version": "7"})


def encoder(
    *, resource: Resource = RESOURCE, new_id: Callable[[int], str] | None = None, **settings: str
) -> SpanEncoder:
    read = Settings({PREFIX + name.upper(): value for name, value in settings.items()})
    return SpanEncoder(read, CurrentResource(resource), "1.2", new_id=new_id or counted_ids())


def encoded(completed: list[Completed], by: SpanEncoder | None = None) -> list[Span]:
    batch = (by or encoder()).encode(completed)
    if batch is None:
        return []
    found = [one for _, _, one in spans(ExportTraceServiceRequest.FromString(batch.body))]
    assert (batch.signal, batch.items) == (SPANS, len(found))
    return found


def printed(found: list[Span]) -> str:
    """Print all traces as trees, every span under its parent; a span whose parent is absent is a root."""
    known = {(one.trace_id, one.span_id) for one in found}
    assert len(known) == len(found)
    roots = [one for one in found if (one.trace_id, one.parent_span_id) not in known]
    return "\n".join(line for root in roots for line in branch(root, found, ""))


def branch(root: Span, found: list[Span], indent: str) -> list[str]:
    children = [one for one in found if (one.trace_id, one.parent_span_id) == (root.trace_id, root.span_id)]
    return [indent + described(root)] + [line for child in children for line in branch(child, found, indent + "  ")]


def described(one: Span) -> str:
    times = f"{ms(one.start_time_unix_nano)}..{ms(one.end_time_unix_nano)}"
    shown = {key.removeprefix("lambda."): value for key, value in attributes(one.attributes).items()}
    for key in ("faas.invocation_id", "aws.lambda.invoked_arn", "initialization_type", "phase"):
        shown.pop(key, None)
    words = [f"{key}={value}" for key, value in shown.items()]
    kind = "SERVER " if one.kind == Span.SPAN_KIND_SERVER else ""
    links = "".join(f" -> {link.span_id.hex()}" for link in one.links)
    failed = " ERROR" if one.status.code == Status.STATUS_CODE_ERROR else ""
    return f"{kind}{one.name} {times}{failed} {' '.join(words)}".rstrip() + links


def ms(moment_ns: int) -> str:
    return f"{(moment_ns - MOMENT_NS) / MS:g}"


def story(*events: Event, shutdown: str = "", at_ms: int = 0) -> str:
    """Print the spans of *events*, taken after each of them as a busy extension would."""
    new_id = counted_ids()
    invocations = InvocationTracker(is_managed=False, new_id=new_id)
    by = encoder(new_id=new_id)
    found = []
    for event in events:
        invocations.observe(event)
        found += encoded(invocations.take_completed(), by)
    if shutdown:
        invocations.shut_down(shutdown, at(at_ms))
        found += encoded(invocations.take_completed(), by)
    return printed(found)


INIT_SPANS = [span("someTimeSpan", -90, 30.5)]
INIT = (init_start(-100), init_done(-10, spans=INIT_SPANS), init_report(-5, duration_ms=95.5, spans=INIT_SPANS))
LATENCY, DURATION, OVERHEAD = (
    span("responseLatency", 0, 7),
    span("responseDuration", 7, 0.05),
    span("runtimeOverhead", 7, 3),
)
EXTENSION = span("extensionOverhead", 10, 2.5)
# Of a report, on the span that is sent when it arrives.
MEMORY = "memory_size=134217728 max_memory_used=94371840"


def test_cold_start_and_warm() -> None:
    printed_story = story(
        *INIT,
        start("a", 0, tracing=tracing()),
        done("a", 10, spans=[LATENCY, DURATION, OVERHEAD]),
        start("b", 100, tracing=tracing("b" * 16, "Root=1-00000000-00000000000000000000000b")),
        report("a", 13, spans=[EXTENSION]),
        done("b", 110, spans=[span("responseLatency", 100, 9)]),
        report("b", 112, spans=[span("extensionOverhead", 110, 2)]),
    )

    assert printed_story.splitlines() == [
        f"SERVER orders 0..10 faas.coldstart=True status=success -> {UPSTREAM}",
        "  init -100..-5 duration=0.0955 status=success",
        "    initRuntime -100..-10",
        "    someTimeSpan -90..-59.5",
        "  responseLatency 0..7",
        "  responseDuration 7..7.05",
        "  runtimeOverhead 7..10",
        f"  extensionOverhead 10..12.5 {MEMORY}",
        "SERVER orders 100..110 faas.coldstart=False status=success",
        "  responseLatency 100..109",
        f"  extensionOverhead 110..112 {MEMORY}",
    ]


def test_timeout() -> None:
    printed_story = story(
        start("a", 0), done("a", 3_000, status="timeout"), report("a", 3_005, status="timeout", spans=[EXTENSION])
    )

    assert printed_story.splitlines() == [
        f"SERVER orders 0..3000 ERROR {MEMORY} faas.coldstart=False status=timeout error.type=timeout",
        "  extensionOverhead 10..12.5",
    ]


def test_timeout_that_only_the_shutdown_reports() -> None:
    assert story(start("a", 0), shutdown="timeout", at_ms=3_000).splitlines() == [
        "SERVER orders 0..3000 ERROR faas.coldstart=False status=timeout error.type=timeout"
    ]


def test_crash() -> None:
    printed_story = story(
        *INIT, start("a", 0), done("a", 10, status="error", errorType="Runtime.ExitError"), shutdown="failure", at_ms=20
    )

    assert printed_story.splitlines() == [
        "SERVER orders 0..10 ERROR faas.coldstart=True status=error error.type=Runtime.ExitError",
        "  init -100..-5 duration=0.0955 status=success",
        "    initRuntime -100..-10",
        "    someTimeSpan -90..-59.5",
    ]


def test_out_of_memory_that_only_the_report_shows() -> None:
    printed_story = story(
        start("a", 0),
        done("a", 10, status="error", errorType="Runtime.ExitError"),
        report("a", 13, status="error", errorType="Runtime.ExitError", used_mb=128, spans=[EXTENSION]),
    )

    assert printed_story.splitlines() == [
        "SERVER orders 0..10 ERROR memory_size=134217728 max_memory_used=134217728 faas.coldstart=False "
        "status=error error.type=Runtime.OutOfMemory",
        "  extensionOverhead 10..12.5",
    ]


def test_snapstart() -> None:
    """The init of the snapshot is a trace of its own: all environments that are restored share it."""
    printed_story = story(
        init_start(-9_000, kind="snap-start"),
        init_done(-8_000, kind="snap-start"),
        init_report(-7_900, kind="snap-start"),
        platform_event("restoreStart", -50),
        platform_event("restoreRuntimeDone", -10, status="success", spans=[span("afterRestore", -40, 20)]),
        platform_event("restoreReport", -5, status="success", metrics={"durationMs": 45}),
        start("a", 0),
        done("a", 10),
        report("a", 13),
    )

    assert printed_story.splitlines() == [
        "init -9000..-7900 status=success",
        "  initRuntime -9000..-8000",
        "SERVER orders 0..10 faas.coldstart=True status=success",
        "  restore -50..-5 duration=0.045 status=success",
        "    restoreRuntime -50..-10",
        "    afterRestore -40..-20",
    ]


def test_suppressed_init() -> None:
    printed_story = story(
        init_start(-10_000),
        init_report(-100, status="timeout"),
        start("a", 0),
        init_start(1, phase="invoke"),
        init_done(90, phase="invoke"),
        init_report(95, phase="invoke"),
        done("a", 200),
    )

    assert printed_story.splitlines() == [
        "SERVER orders 0..200 faas.coldstart=True status=success",
        "  init -10000..-100 ERROR status=timeout error.type=timeout",
        "  suppressed init 1..95 status=success",
        "    initRuntime 1..90",
    ]


def test_a_failed_init_without_an_invocation() -> None:
    printed_story = story(
        init_start(-100),
        init_done(-10, status="error", errorType="Runtime.ImportModuleError"),
        shutdown="failure",
        at_ms=5,
    )

    assert printed_story.splitlines() == [
        "init -100..-10 ERROR status=error error.type=Runtime.ImportModuleError",
        "  initRuntime -100..-10",
    ]


def test_an_invocation_whose_end_was_lost_is_a_span() -> None:
    assert story(start("a", 0), start("b", 20), done("b", 30)).splitlines() == [
        "SERVER orders 0..0 faas.coldstart=False",
        "SERVER orders 20..30 faas.coldstart=False status=success",
    ]


def test_redelivered_events_make_no_second_span() -> None:
    events = (*INIT, start("a", 0), done("a", 10, spans=[LATENCY]), report("a", 13, spans=[EXTENSION]))

    assert story(*events, *events) == story(*events)


ALWAYS = frozenset(
    {
        *("faas.invocation_id", "faas.coldstart", "aws.lambda.invoked_arn", "lambda.status", "lambda.tenant_id"),
        *("lambda.initialization_type", "lambda.phase"),
    }
)


def test_an_invocation_has_the_attributes_of_the_conventions() -> None:
    (found,) = encoded([invocation()])

    assert attributes(found.attributes) == {
        "faas.invocation_id": "a",
        "faas.coldstart": False,
        "aws.lambda.invoked_arn": f"{ARN}:live",
        "lambda.status": "success",
        "lambda.tenant_id": "t",
    }
    assert (found.trace_id.hex(), found.span_id.hex(), found.parent_span_id) == (TRACE_ID, SPAN_ID, b"")
    assert (found.kind, found.status.code) == (Span.SPAN_KIND_SERVER, Status.STATUS_CODE_UNSET)


@pytest.mark.parametrize(
    ("error_type", "error_message", "description"),
    [
        ("ValueError", "no such order", "no such order"),
        ("ValueError", "", ""),
        ("a", "\ud800", "\\ud800"),
        ("", "x", ""),
    ],
)
def test_a_failure_is_described_by_its_message_alone(error_type: str, error_message: str, description: str) -> None:
    failed = {"error_type": error_type, "error_message": error_message}
    spans = encoded([invocation(**failed), phase(**failed)])

    assert [span.status.message for span in spans if span.kind == Span.SPAN_KIND_SERVER] == [description]
    assert [span.status.message for span in spans if span.name == "init"] == [description]


def test_an_init_has_its_own_attributes() -> None:
    (found,) = encoded([phase()])

    assert attributes(found.attributes) == {
        "lambda.initialization_type": "on-demand",
        "lambda.phase": "init",
        "lambda.status": "success",
    }
    assert (found.kind, found.parent_span_id.hex()) == (Span.SPAN_KIND_INTERNAL, SPAN_ID)


def test_a_span_has_what_only_its_events_say() -> None:
    found = encoded(
        [
            invocation(events=(done("a", 10, duration_ms=10), report("a", 12, duration_ms=11, new="\ud800"))),
            phase(events=(platform_event("initStart", 0, functionName="orders", runtimeVersion="python:3.13.v60"),)),
        ]
    )

    invoked, init = [attributes(one.attributes) for one in found]
    assert {key: invoked[key] for key in invoked if key not in ALWAYS} == {
        "lambda.produced_bytes": 17,
        "lambda.memory_size": 134_217_728,
        "lambda.max_memory_used": 94_371_840,
        "lambda.duration": 0.011,
        "lambda.billed_duration": 0.012,
        "lambda.new": "\\ud800",
    }
    # The name is that of the resource.
    assert {key: init[key] for key in init if key not in ALWAYS} == {"lambda.runtime_version": "python:3.13.v60"}


def test_a_report_that_is_late_is_on_the_first_of_its_spans() -> None:
    phases = tuple(PhaseSpan(name, at(10), 0.002) for name in ("extensionOverhead", "another"))

    first, second = encoded([LateSpans("a", TRACE_ID, SPAN_ID, True, phases, report("a", 12, used_mb=1))])

    assert attributes(first.attributes) == {"lambda.memory_size": 134_217_728, "lambda.max_memory_used": 1_048_576}
    assert attributes(second.attributes) == {}


@pytest.mark.parametrize(
    ("span_start", "waits_since_ns", "start_ns"),
    [("invocation", at(-100), at(0)), ("init", at(-100), at(-100)), ("init", 0, at(0))],
)
def test_the_setting_decides_where_the_span_of_a_cold_start_begins(
    span_start: str, waits_since_ns: int, start_ns: int
) -> None:
    (found,) = encoded([invocation(waits_since_ns=waits_since_ns)], encoder(span_start=span_start))

    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (start_ns, at(10))


def test_an_invocation_of_an_unknown_function_has_a_name() -> None:
    (found,) = encoded([invocation()], encoder(resource=Resource({})))

    assert found.name == "invocation"


@pytest.mark.parametrize(
    ("trace_parent", "parent", "links"), [("link", "", [UPSTREAM]), ("parent", UPSTREAM, []), ("none", "", [])]
)
def test_the_setting_decides_whether_the_upstream_span_is_parent_or_link(
    trace_parent: str, parent: str, links: list[str]
) -> None:
    (found,) = encoded([invocation()], encoder(trace_parent=trace_parent))

    assert (found.parent_span_id.hex(), [link.span_id.hex() for link in found.links]) == (parent, links)
    assert [link.trace_id.hex() for link in found.links] == [TRACE_ID] * len(links)


@pytest.mark.parametrize("header", [Tracing(TRACE_ID), Tracing("", UPSTREAM), Tracing("d" * 32, UPSTREAM)])
def test_a_parent_of_another_trace_is_not_the_upstream_span(header: Tracing) -> None:
    (found,) = encoded([invocation(tracing=header)], encoder(trace_parent="parent"))

    assert (found.parent_span_id, list(found.links)) == (b"", [])


@pytest.mark.parametrize(
    ("sampling", "is_sampled", "count"),
    [("all", False, 4), ("all", None, 4), ("xray", True, 4), ("xray", None, 4), ("xray", False, 0)],
)
def test_sampling_follows_the_setting(sampling: str, is_sampled: bool | None, count: int) -> None:
    child = PhaseSpan("x", at(1), 0.5)
    completed: list[Completed] = [
        phase(is_sampled=is_sampled),
        invocation(tracing=Tracing(TRACE_ID, is_sampled=is_sampled), spans=(child,)),
        LateSpans("a", TRACE_ID, SPAN_ID, is_sampled, (child,)),
    ]

    assert len(encoded(completed, encoder(sampling=sampling))) == count


def test_no_spans_are_no_batch() -> None:
    assert encoder().encode([]) is None


def test_attributes_added_to_the_resource_are_exported() -> None:
    current = CurrentResource(RESOURCE)
    by = SpanEncoder(Settings({}), current, "1.2", new_id=counted_ids())
    current.add({"faas.instance": "i"})
    batch = by.encode([invocation()])
    assert batch is not None

    request = ExportTraceServiceRequest.FromString(batch.body)
    ((resource, scope, _),) = spans(request)

    assert (resource["faas.instance"], scope.name, scope.version) == ("i", "aws.lambda", "1.2")
    (resource_spans,) = request.resource_spans
    assert [resource_spans.schema_url, *[each.schema_url for each in resource_spans.scope_spans]] == [SCHEMA_URL] * 2


@FAST
@given(st.lists(COMPLETED, max_size=4))
def test_any_outcome_becomes_valid_spans(completed: list[Completed]) -> None:
    for found in encoded(completed):
        assert (len(found.trace_id), len(found.span_id), len(found.parent_span_id) in (0, 8)) == (16, 8, True)
        assert 0 <= found.start_time_unix_nano < 1 << 64
        assert 0 <= found.end_time_unix_nano < 1 << 64
