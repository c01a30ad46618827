"""Runs `check` as in a container image, and in the init of the extension."""

import subprocess
from pathlib import Path

from tests.support.certificates import issue_certificates
from tests.support.collector import FakeCollector
from tests.support.extension_process import ExtensionProcess, checked
from tests.support.fake_lambda import NEXT, shutdown
from tests.support.otlp_messages import LOGS, METRICS, SPANS

MARK = "[telemetry-forwarder]"


def test_command_of_the_start_script(opt: Path, tmp_path: Path) -> None:
    assert checked(opt, issue_certificates(tmp_path)).endswith(
        "delivered: logs, traces, metrics; not delivered: none\n"
    )


def test_unknown_argument_is_2(opt: Path) -> None:
    command = [str(opt / "extensions" / "telemetry-forwarder"), "chekc"]

    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: telemetry-forwarder ")


def test_help_is_printed_to_a_pipe(opt: Path) -> None:
    command = [str(opt / "extensions" / "telemetry-forwarder"), "check", "--help"]

    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: telemetry-forwarder check ")


def test_findings_are_log_lines_in_lambda(opt: Path, collector: FakeCollector) -> None:
    variables = {
        "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
        "TELEMETRY_FORWARDER_CHECK": "true",
        # A busy machine may be slower than the usual one, which would be a warning.
        "TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "60000",
    }
    with ExtensionProcess(opt, variables) as extension:
        extension.wait_until_ready()
        assert collector.wait_for(lambda: all(map(collector.accepted, (LOGS, SPANS, METRICS))), 60.0)
        extension.runtime.respond(NEXT, shutdown())
        code, lines = extension.end()

    found = [line.partition("check of ")[2] for line in lines if "check of " in line]
    assert code == 0
    assert found[0] == "logs: DNS: 127.0.0.1 is an address."
    assert [line.partition(" after")[0] for line in found if "request" in line][:2] == [
        "logs: request: 200",
        "traces: request: 200",
    ]
    assert {line.partition(" INFO ")[0] for line in lines} == {MARK}
    # Nothing of it counts as telemetry.
    assert "records received 0; logs received 0 delivered 0" in lines[-1]
