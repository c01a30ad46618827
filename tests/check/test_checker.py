"""Destinations that work, and what is logged in Lambda."""

import os
import threading
from pathlib import Path

import pytest
import trustme

from telemetry_forwarder.check.checker import log_findings
from telemetry_forwarder.check.findings import Verdict
from telemetry_forwarder.clock import Clock
from tests.check.conftest import MakeChecker
from tests.check.faults import DAY, NOW, issue
from tests.support import collector as c
from tests.support.captured_log import CapturedLog
from tests.support.certificates import Certificates
from tests.support.collector import FakeCollector
from tests.support.otlp_messages import LOGS, METRICS, SPANS
from tests.support.tcp_server import tcp_server, tunnels_to

ENDPOINT, HEADERS = "TELEMETRY_FORWARDER_ENDPOINT", "TELEMETRY_FORWARDER_HEADERS"
# A busy machine may be slower than the usual budget, which would be a warning.
SLOW = {"TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "60000"}
CERTIFICATE, PROTOCOL = "TELEMETRY_FORWARDER_CERTIFICATE", "TELEMETRY_FORWARDER_PROTOCOL"


def stages(new_checker: MakeChecker, environ: dict[str, str], signal: str = "logs") -> list[str]:
    """Return the stages; all have to be right."""
    found = list(new_checker(environ).findings(signal))
    assert {finding.verdict for finding in found} == {Verdict.OK}, found
    assert [finding.advice for finding in found if finding.advice] == []
    return [finding.stage for finding in found]


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_collector_with_tls_and_a_client_certificate(
    new_checker: MakeChecker, certificates: Certificates, *, grpc: bool
) -> None:
    with FakeCollector(tls=certificates.server, client_ca=certificates.ca, grpc=grpc) as collector:
        environ = {
            ENDPOINT: collector.endpoint,
            CERTIFICATE: certificates.ca,
            "TELEMETRY_FORWARDER_CLIENT_CERTIFICATE": certificates.client[0],
            "TELEMETRY_FORWARDER_CLIENT_KEY": certificates.client[1],
            PROTOCOL: "grpc" if grpc else "http/protobuf",
        }

        assert stages(new_checker, environ) == ["DNS", "connection", "TLS", "request"]
        assert collector.accepted(LOGS) == 1


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_collector_behind_a_proxy(new_checker: MakeChecker, tmp_path: Path, *, grpc: bool) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = issue(tmp_path, authority, ("collector.invalid",), NOW - DAY, NOW + 365 * DAY)
    with FakeCollector(tls=server, grpc=grpc) as collector, tcp_server(tunnels_to(collector.port)) as proxy:
        environ = {
            ENDPOINT: "https://collector.invalid",
            CERTIFICATE: str(tmp_path / "ca.pem"),
            "HTTPS_PROXY": proxy,
            PROTOCOL: "grpc" if grpc else "http/protobuf",
        }
        checker = new_checker(environ)
        found = list(checker.findings("logs"))
        checker.close()

        assert {finding.verdict for finding in found} == {Verdict.OK}, found
        assert [finding.stage for finding in found] == ["DNS", "connection", "proxy", "TLS", "request"]
        assert collector.accepted(LOGS) == 1


def test_certificate_behind_a_proxy_is_described(new_checker: MakeChecker, certificates: Certificates) -> None:
    with FakeCollector(tls=certificates.server) as collector, tcp_server(tunnels_to(collector.port)) as proxy:
        environ = {ENDPOINT: "https://collector.invalid", CERTIFICATE: certificates.ca, "HTTPS_PROXY": proxy}
        *_, last = new_checker(environ).findings("logs")

    assert last.text == "the certificate is for 127.0.0.1, localhost, not for collector.invalid"


def test_plain_http_is_requested_from_the_proxy(new_checker: MakeChecker, collector: FakeCollector) -> None:
    found = list(new_checker({ENDPOINT: "http://nobody.invalid", "HTTP_PROXY": collector.endpoint}).findings("logs"))

    assert [finding.stage for finding in found] == ["DNS", "connection", "request"]
    # The collector is no proxy, but has received the request.
    assert collector.requests[0].path == "http://nobody.invalid/v1/logs"


def test_known_back_end_is_recognised(new_checker: MakeChecker) -> None:
    # Its name is not resolved here, or not reached in time: what is known of it comes first.
    first = next(new_checker({ENDPOINT: "https://api.honeycomb.io"}).findings("logs"))

    assert (first.stage, first.verdict) == ("back end", Verdict.WARNING)
    assert first.text == "Honeycomb: the header x-honeycomb-team is not set (set: none)"


class TestLog:
    def test_each_finding_is_a_line(self, captured: CapturedLog, collector: FakeCollector) -> None:
        collector.script(c.Response(status=403, path=SPANS), c.Response(message="careful", path=METRICS))
        environ = {ENDPOINT: collector.endpoint, HEADERS: "api-key=abcdefgh12345678", **SLOW}

        priorities: list[int] = []

        def check() -> None:
            log_findings(environ, Clock(), captured.diagnostics(Clock()))
            priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

        thread = threading.Thread(target=check)
        thread.start()
        thread.join()

        # The function and the worker go first.
        assert priorities == [10]
        lines = captured.lines
        assert lines[0] == "INFO check of logs: DNS: 127.0.0.1 is an address."
        assert [line for line in lines if line.startswith("ERROR")] == [
            "ERROR check of traces: request: 403: status 403 (headers sent: api-key). The key in"
            " TELEMETRY_FORWARDER_HEADERS is not allowed to write traces: check its permissions (scopes) at the back"
            " end. A firewall in front of it may respond so, too."
        ]
        (warning,) = [line for line in lines if line.startswith("WARN")]
        assert warning.startswith("WARN check of metrics: request: 200 after ")
        assert warning.endswith(": accepted, with a warning: careful. The endpoint says what to change.")

    def test_error_is_a_line(self, captured: CapturedLog) -> None:
        class Broken(dict[str, str]):
            def get(self, *_: object) -> str:
                raise ValueError("broken")

        thread = threading.Thread(target=log_findings, args=(Broken(), Clock(), captured.diagnostics(Clock())))
        thread.start()
        thread.join()

        assert captured.lines == ["ERROR the check has failed: ValueError: broken"]
