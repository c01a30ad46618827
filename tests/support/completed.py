"""Builds what has ended: invocations, phases, and the spans that are reported late."""

from functools import partial
from typing import Any

from hypothesis import strategies as st

from telemetry_forwarder.invocations.completed import CompletedInvocation, CompletedPhase, LateSpans
from telemetry_forwarder.telemetry.platform_events import read_event
from telemetry_forwarder.telemetry.records import PhaseSpan, Tracing
from tests.support.stories import ARN, SPAN_ID, TRACE_ID, UPSTREAM, at
from tests.support.strategies import JSON


def invocation(**differences: Any) -> CompletedInvocation:
    """Build a successful warm invocation, except for *differences*."""
    values: dict[str, Any] = {
        "request_id": "a",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "tracing": Tracing(TRACE_ID, UPSTREAM, SPAN_ID, True),
        "arn": f"{ARN}:live",
        "tenant_id": "t",
        "start_ns": at(0),
        "end_ns": at(10),
        "is_cold": False,
        "status": "success",
        "error_type": "",
        "has_run_out_of_memory": False,
        "duration_s": 0.01,
        "produced_bytes": 17,
        "spans": (),
        **differences,
    }
    return CompletedInvocation(**values)


def phase(**differences: Any) -> CompletedPhase:
    """Build an init, except for *differences*."""
    values: dict[str, Any] = {
        "kind": "init",
        "phase": "init",
        "initialization_type": "on-demand",
        "trace_id": TRACE_ID,
        "span_id": "c" * 16,
        "parent_span_id": SPAN_ID,
        "is_sampled": True,
        "start_ns": at(-100),
        "end_ns": at(-5),
        "runtime_done_ns": 0,
        "duration_s": 0.095,
        "status": "success",
        "error_type": "",
        "spans": (),
        **differences,
    }
    return CompletedPhase(**values)


TEXT = st.text(st.characters(exclude_categories=()), max_size=5)
MOMENTS = st.integers(0, (1 << 63) - 1)
CHILDREN = st.lists(st.builds(PhaseSpan, TEXT.filter(bool), MOMENTS, st.floats(0, 1e9)), max_size=2).map(tuple)
TYPES = st.sampled_from([f"platform.{name}" for name in ("initStart", "initReport", "start", "runtimeDone", "report")])
FIELDS = st.dictionaries(st.sampled_from(["status", "metrics", "spans", "tracing"]) | TEXT, JSON, max_size=3)
EVENTS = st.lists(st.builds(partial(read_event, time_ns=1, observed_ns=1), TYPES, FIELDS | JSON), max_size=3).map(tuple)
COMPLETED = st.one_of(
    st.builds(
        invocation, request_id=TEXT, arn=TEXT, tenant_id=TEXT, status=TEXT, error_type=TEXT,
        start_ns=MOMENTS, end_ns=MOMENTS, spans=CHILDREN, events=EVENTS,
    ),
    st.builds(
        phase, kind=st.sampled_from(["init", "restore"]), phase=TEXT, initialization_type=TEXT, status=TEXT,
        error_type=TEXT, start_ns=MOMENTS, runtime_done_ns=MOMENTS, spans=CHILDREN, events=EVENTS,
    ),
    st.builds(LateSpans, TEXT, st.just(TRACE_ID), st.just(SPAN_ID), st.none(), CHILDREN),
)  # fmt: skip
