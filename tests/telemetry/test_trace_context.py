from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.telemetry.records import Tracing
from telemetry_forwarder.telemetry.trace_context import read_tracing
from tests.support.properties import FAST

ROOT, PARENT, OWN = "1-5759E988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8", "54565fb41ac79632"
TRACE_ID = "5759e988bd862e3fe1be46a994272793"


@pytest.mark.parametrize(
    ("header", "span_id", "tracing"),
    [
        (f"Root={ROOT};Parent={PARENT};Sampled=1", OWN, Tracing(TRACE_ID, PARENT, OWN, True)),
        (f"Sampled=0; parent={PARENT.upper()} ;ROOT={ROOT}", "", Tracing(TRACE_ID, PARENT, "", False)),
        (f"Root={ROOT};Sampled=?;Lineage=a:1;Self=1-2", None, Tracing(TRACE_ID, lineage="a:1")),
        (f"Root={ROOT}", 5, Tracing(TRACE_ID)),
        (f"Root=1-00000000-{'0' * 24};Parent={'0' * 16}", "0" * 16, Tracing()),
        ("Root=2-5759e988-bd862e3fe1be46a994272793;Parent=xyz;Sampled", "xyz", Tracing()),
        (";;=;Root", "", Tracing()),
        ("", "", Tracing()),
        (None, OWN, Tracing(span_id=OWN)),
        (["Root"], {}, Tracing()),
    ],
)
def test_parts_are_read_in_any_order_and_only_if_valid(header: Any, span_id: Any, tracing: Tracing) -> None:
    assert read_tracing(header, span_id) == tracing


@FAST
@given(st.text() | st.text(alphabet="Root=1-5;Parent ").map(lambda text: f"Root={ROOT}{text}"), st.text())
def test_any_header_is_read(header: str, span_id: str) -> None:
    tracing = read_tracing(header, span_id)

    assert (len(tracing.trace_id), len(tracing.parent_id), len(tracing.span_id)) in {
        (trace, parent, own) for trace in (0, 32) for parent in (0, 16) for own in (0, 16)
    }
