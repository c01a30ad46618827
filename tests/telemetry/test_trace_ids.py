from typing import Any

import pytest

from telemetry_forwarder.telemetry import trace_context

TRACE = "5759e988bd862e3fe1be46a994272793"


@pytest.mark.parametrize(
    ("value", "trace_id"),
    [
        (TRACE, TRACE),
        (TRACE.upper(), TRACE),
        ("1-5759e988-bd862e3fe1be46a994272793", TRACE),
        ("1-5759E988-BD862E3FE1BE46A994272793", TRACE),
        ("1-5759e988-bd862e3fe1be46a99427279", ""),
        (TRACE + "0", ""),
        ("0" * 32, ""),
        ("1-00000000-000000000000000000000000", ""),
        ("0", ""),
        ("", ""),
        (f"{TRACE}\n", ""),
        (5, ""),
        (None, ""),
    ],
)
def test_trace_id(value: Any, trace_id: str) -> None:
    assert trace_context.trace_id(value) == trace_id


@pytest.mark.parametrize(
    ("value", "span_id"),
    [
        ("53995C3F42CD8AD8", "53995c3f42cd8ad8"),
        ("0" * 16, ""),
        ("53995c3f42cd8ad", ""),
        ("", ""),
        (5, ""),
    ],
)
def test_span_id(value: Any, span_id: str) -> None:
    assert trace_context.span_id(value) == span_id


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", TRACE),
        ("Sampled=1; root=1-5759e988-bd862e3fe1be46a994272793", TRACE),
        ("Root=;Sampled=1", ""),
        ("Parent=53995c3f42cd8ad8", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_root_of_a_header(header: Any, trace_id: str) -> None:
    assert trace_context.root_of(header) == trace_id
