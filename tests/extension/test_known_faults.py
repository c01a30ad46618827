"""Faults that earlier versions had, shown with the real process, so that any tree can be tried (`--opt`)."""

import base64
import time
from pathlib import Path

import pytest

from tests.support.collector import FakeCollector
from tests.support.collector_script import Response
from tests.support.extension_process import ExtensionProcess
from tests.support.fake_lambda import NEXT, invoke, shutdown
from tests.support.fake_lambda import Response as ScriptedResponse
from tests.support.otlp_messages import LOGS, SPANS
from tests.support.posts import event, post

_TOKEN = "s3cr3tT0kenOfTheCustomer42"  # noqa: S105  # an invented one
_FORMS = {
    "behind much else": "x" * 180 + _TOKEN,
    "base64": base64.b64encode(_TOKEN.encode()).decode(),
    "percent-encoded": "".join(f"%{byte:02X}" for byte in _TOKEN.encode()),
    "upper case": _TOKEN.upper(),
    "a prefix": _TOKEN[:14],
}
_SHOWN = 8
_WAIT_S = 30.0


@pytest.mark.parametrize("form", _FORMS)
def test_secret_that_the_endpoint_quotes_is_not_logged(opt: Path, form: str) -> None:
    with FakeCollector() as collector:
        collector.script(then=Response(status=400, body=f"bad token {_FORMS[form]}".encode()))
        variables = {
            "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {_TOKEN}",
            "TELEMETRY_FORWARDER_FLUSH": "end",
            "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "20000",
        }
        with ExtensionProcess(opt, variables) as extension:
            extension.wait_until_ready()
            extension.runtime.respond(NEXT, invoke())
            done = event("platform.runtimeDone", {"requestId": "id", "status": "success"})
            extension.post(post(event("platform.start", {"requestId": "id"}), event("function", "hello"), done))
            extension.runtime.wait_for(NEXT, 2)
            extension.runtime.respond(NEXT, _shutdown())
            _, lines = extension.end()

    quoting = [line for line in lines if "400" in line and "bad token" in line]
    secret = _FORMS[form].lstrip("x")
    parts = [secret[start : start + _SHOWN] for start in range(len(secret) - _SHOWN + 1)]
    assert quoting
    assert [part for part in parts if any(part in line for line in lines)] == []


def test_span_that_shutdown_ends_is_sent_after_its_lines(opt: Path) -> None:
    with FakeCollector() as collector:
        variables = {"TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint, "TELEMETRY_FORWARDER_FLUSH": "every 1s"}
        with ExtensionProcess(opt, variables) as extension:
            extension.wait_until_ready()
            extension.runtime.respond(NEXT, invoke())
            extension.post(post(event("platform.start", {"requestId": "id"}), event("function", "hello")))
            assert collector.wait_for(lambda: collector.accepted(LOGS), _WAIT_S)
            extension.runtime.respond(NEXT, _shutdown())
            code, _ = extension.end()

        assert (code, collector.accepted(LOGS), collector.accepted(SPANS)) == (0, 1, 1)


def _shutdown(**fields: object) -> ScriptedResponse:
    return shutdown(deadlineMs=round(time.time() * 1000) + 2_000, **fields)
