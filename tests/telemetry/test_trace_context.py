from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.records import Tracing
from telemetry_forwarder.telemetry.trace_context import (
    parse_decimal_id,
    parse_root,
    parse_span_id,
    parse_trace_id,
    parse_trace_ids,
    parse_tracing,
)
from tests.support.properties import FAST

ROOT, PARENT, OWN = "1-5759E988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8", "54565fb41ac79632"
TRACE_ID = "5759e988bd862e3fe1be46a994272793"


@pytest.mark.parametrize(
    ("header", "own_span_id", "tracing"),
    [
        (f"Root={ROOT};Parent={PARENT};Sampled=1", OWN, Tracing(TRACE_ID, PARENT, OWN, True)),
        (f"Sampled=0; parent={PARENT.upper()} ;ROOT={ROOT}", "", Tracing(TRACE_ID, PARENT, "", False)),
        (f"Root={ROOT};Sampled=?;Lineage=a:1;Self=1-2", None, Tracing(TRACE_ID)),
        (f"Root={ROOT}", 5, Tracing(TRACE_ID)),
        (f"Root=1-00000000-{'0' * 24};Parent={'0' * 16}", "0" * 16, Tracing()),
        ("Root=2-5759e988-bd862e3fe1be46a994272793;Parent=xyz;Sampled", "xyz", Tracing()),
        (";;=;Root", "", Tracing()),
        ("", "", Tracing()),
        (None, OWN, Tracing(span_id=OWN)),
        (["Root"], {}, Tracing()),
    ],
)
def test_valid_parts_are_read_in_any_order(header: Any, own_span_id: Any, tracing: Tracing) -> None:
    assert parse_tracing(header, own_span_id=own_span_id) == tracing


@FAST
@given(st.text() | st.text(alphabet="Root=1-5;Parent ").map(lambda text: f"Root={ROOT}{text}"), st.text())
def test_any_header_can_be_parsed(header: str, own_span_id: str) -> None:
    tracing = parse_tracing(header, own_span_id=own_span_id)

    assert (len(tracing.trace_id), len(tracing.parent_id), len(tracing.span_id)) in {
        (trace, parent, own) for trace in (0, 32) for parent in (0, 16) for own in (0, 16)
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TRACE_ID, TRACE_ID),
        (TRACE_ID.upper(), TRACE_ID),
        ("1-5759e988-bd862e3fe1be46a994272793", TRACE_ID),
        ("1-5759E988-BD862E3FE1BE46A994272793", TRACE_ID),
        ("1-5759e988-bd862e3fe1be46a99427279", ""),
        (TRACE_ID + "0", ""),
        ("0" * 32, ""),
        ("1-00000000-000000000000000000000000", ""),
        ("0", ""),
        ("", ""),
        (f"{TRACE_ID}\n", ""),
        (5, ""),
        (None, ""),
    ],
)
def test_trace_id(value: Any, expected: str) -> None:
    assert parse_trace_id(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("53995C3F42CD8AD8", "53995c3f42cd8ad8"), ("0" * 16, ""), ("53995c3f42cd8ad", ""), ("", ""), (5, "")],
)
def test_span_id(value: Any, expected: str) -> None:
    assert parse_span_id(value) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", TRACE_ID),
        ("Sampled=1; root=1-5759e988-bd862e3fe1be46a994272793", TRACE_ID),
        ("Root=;Sampled=1", ""),
        ("Parent=53995c3f42cd8ad8", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_root_of_a_header(header: Any, expected: str) -> None:
    assert parse_root(header) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0AF7651916cd43dd8448eb211c80319c", ("0af7651916cd43dd8448eb211c80319c", "")),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
        ),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ("", "")),
        ("projects/orders/traces/0af7651916cd43dd8448eb211c80319c", ("0af7651916cd43dd8448eb211c80319c", "")),
        ("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", ("5759e988bd862e3fe1be46a994272793", "")),
        ("projects/orders", ("", "")),
        ("", ("", "")),
        (5, ("", "")),
        (f"{TRACE_ID}-{PARENT}-1-{OWN}", (TRACE_ID, PARENT)),
        (f"{TRACE_ID}-{PARENT}", (TRACE_ID, PARENT)),
        (f"{TRACE_ID}-{PARENT}-x", ("", "")),
        (f"00-{TRACE_ID}-{PARENT}", ("", "")),
    ],
)
def test_ids_in_any_notation(value: Any, expected: tuple[str, str]) -> None:
    assert parse_trace_ids(value) == expected


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        ("255", 16, "00000000000000ff"),
        (255, 32, f"{255:032x}"),
        (str(1 << 127), 32, f"{1 << 127:032x}"),
        (str(1 << 128), 32, ""),
        (1 << 64, 16, ""),
        ("0", 16, ""),
        (-1, 16, ""),
        (True, 16, ""),
        ("ff", 16, ""),
        ("²", 16, ""),
        ("1" * 40, 32, ""),
        (None, 16, ""),
    ],
)
def test_decimal_id(value: Any, digits: int, expected: str) -> None:
    assert parse_decimal_id(value, digits=digits) == expected
