"""`check` with a collector used in production."""

import pytest

from telemetry_forwarder.check.checker import Checker
from telemetry_forwarder.check.findings import Finding, Verdict
from telemetry_forwarder.clock import Clock
from tests.conformance.rotel import Rotel

ENDPOINT, PROTOCOL = "TELEMETRY_FORWARDER_ENDPOINT", "TELEMETRY_FORWARDER_PROTOCOL"
SIGNALS = ["logs", "traces", "metrics"]


def found(environ: dict[str, str], signal: str) -> list[Finding]:
    # A busy machine may be slower than the usual budget, which would be a warning.
    checker = Checker({"TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "60000"} | environ, Clock(), timeout_s=30.0)
    try:
        return list(checker.findings(signal))
    finally:
        checker.close()


@pytest.mark.parametrize("signal", SIGNALS)
def test_items_are_accepted_over_both_protocols(rotel: Rotel, signal: str) -> None:
    for environ in ({ENDPOINT: rotel.endpoint}, {ENDPOINT: rotel.grpc_endpoint, PROTOCOL: "grpc"}):
        assert [(finding.stage, finding.verdict) for finding in found(environ, signal)] == [
            ("DNS", Verdict.OK),
            ("connection", Verdict.OK),
            ("request", Verdict.OK),
        ]


@pytest.mark.parametrize("signal", SIGNALS)
def test_its_two_ports_are_told_apart(rotel: Rotel, signal: str) -> None:
    *_, http = found({ENDPOINT: rotel.grpc_endpoint}, signal)
    *_, grpc = found({ENDPOINT: rotel.endpoint, PROTOCOL: "grpc"}, signal)

    assert "the server speaks gRPC on this port, not OTLP/HTTP" in http.text
    assert "the server speaks OTLP/HTTP on this port, not gRPC" in grpc.text
