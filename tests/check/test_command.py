"""The command line."""

from pathlib import Path

import pytest

from telemetry_forwarder.check.command import run
from tests.support import collector as c
from tests.support.any_settings import combination
from tests.support.collector import FakeCollector
from tests.support.otlp_messages import LOGS, METRICS, SPANS

NAME = "telemetry-forwarder"
VALUE = "abcdefgh12345678"
ENDPOINT, HEADERS = "TELEMETRY_FORWARDER_ENDPOINT", "TELEMETRY_FORWARDER_HEADERS"


def test_everything_is_delivered(collector: FakeCollector, capfd: pytest.CaptureFixture[str]) -> None:
    status = run(NAME, ["check"], {ENDPOINT: collector.endpoint, HEADERS: f"api-key={VALUE}"})

    out, err = capfd.readouterr()
    assert (status, err) == (0, "")
    assert [collector.accepted(path) for path in (LOGS, SPANS, METRICS)] == [1, 1, 1]
    lines = out.splitlines()
    assert lines[0] == "settings, from environment:"
    assert "  TELEMETRY_FORWARDER_FLUSH = auto (default)" in lines
    assert f"  HEADERS = api-key=*** ({HEADERS})" in lines
    assert lines.count("  COMPRESSION = gzip (default)") == 1
    assert lines.count("  connection ok       as for logs") == 2
    assert lines[-1] == "delivered: logs, traces, metrics; not delivered: none"


def test_signal_that_cannot_be_delivered_is_1(collector: FakeCollector, capfd: pytest.CaptureFixture[str]) -> None:
    collector.script(c.Response(status=401, message=f"bad {VALUE}", path=SPANS))

    status = run(NAME, ["check"], {ENDPOINT: collector.endpoint, HEADERS: f"api-key={VALUE}"})

    out, _ = capfd.readouterr()
    assert status == 1
    assert "  request    FAILED   401: bad *** (headers sent: api-key)\n" in out
    assert f"{'':21}> The key is not accepted. Check {HEADERS}: " in out
    assert out.endswith("delivered: logs, metrics; not delivered: traces\n")
    assert VALUE not in out


def test_route_that_fails_is_checked_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(NAME, ["check"], {ENDPOINT: "http://nobody.invalid"}) == 1

    out, _ = capfd.readouterr()
    assert out.count("cannot be resolved") == 1
    assert out.count("  DNS        FAILED   as for logs\n") == 2


def test_problems_of_settings_are_shown(collector: FakeCollector, capfd: pytest.CaptureFixture[str]) -> None:
    environ = {ENDPOINT: collector.endpoint, "TELEMETRY_FORWARDER_FLUSSH": "end", "TELEMETRY_FORWARDER_FLUSH": "now"}

    assert run(NAME, ["check"], environ) == 0

    out, _ = capfd.readouterr()
    assert "  settings   warning  TELEMETRY_FORWARDER_FLUSSH: there is no such setting\n" in out
    assert "  settings   warning  TELEMETRY_FORWARDER_FLUSH: 'now' is not one of" in out


def test_only_signals_that_are_on_are_checked(collector: FakeCollector, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(NAME, ["check"], {ENDPOINT: collector.endpoint, "TELEMETRY_FORWARDER_SIGNALS": "metrics"}) == 0

    assert [request.path for request in collector.requests] == [METRICS]
    assert capfd.readouterr().out.endswith("delivered: metrics; not delivered: none\n")


class TestEnvFile:
    def test_it_replaces_the_environment(
        self, collector: FakeCollector, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / ".env"
        file.write_text(
            f"# a comment\n\nexport {ENDPOINT}='{collector.endpoint}'\n{HEADERS}=\"api-key={VALUE}\"\n"
            "OTEL_SERVICE_NAME = orders \n"
        )

        status = run(NAME, ["check", "--env-file", str(file)], {ENDPOINT: "http://nobody.invalid"})

        out, _ = capfd.readouterr()
        assert status == 0
        assert out.startswith(f"settings, from {file}:\n")
        assert "  service.name = orders\n" in out
        assert collector.requests[0].headers["api-key"] == VALUE
        assert collector.logs()[0][0]["service.name"] == "orders"

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (None, "cannot be read: No such file or directory"),
            (b"\xff", "cannot be read: 'utf-8' codec"),
            (b"A=1\n" + VALUE.encode(), ", line 2 is not NAME=value"),
        ],
    )
    def test_wrong_one_is_2(
        self, tmp_path: Path, content: bytes | None, problem: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / ".env"
        if content is not None:
            file.write_bytes(content)

        status = run(NAME, ["check", "--env-file", str(file)], {})

        out, err = capfd.readouterr()
        assert (status, out) == (2, "")
        assert err.startswith(f"{NAME}: {file}")
        assert problem in err
        assert VALUE not in err


@pytest.mark.parametrize("arguments", [["chekc"], ["check", "--verbose"], ["check", "--timeout", "0"], ["check", "x"]])
def test_wrong_usage_is_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(NAME, arguments, {}) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("usage: telemetry-forwarder")


@pytest.mark.parametrize("seconds", ["abc", "0", "601", "nan"])
def test_timeout_that_is_no_time_is_named(seconds: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(NAME, ["check", "--timeout", seconds], {}) == 2

    assert f"argument --timeout: '{seconds}' is not a number from 0.1 to 600\n" in capfd.readouterr().err


def test_help_is_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(NAME, ["check", "--help"], {}) == 0

    assert "--env-file FILE" in capfd.readouterr().out


def test_timeout_limits_a_signal(capfd: pytest.CaptureFixture[str]) -> None:
    with FakeCollector() as collector:
        collector.script(then=c.Hang())
        environ = {ENDPOINT: collector.endpoint, "TELEMETRY_FORWARDER_SIGNALS": "logs"}

        assert run(NAME, ["check", "--timeout", "0.2"], environ) == 1

    assert "no response within " in capfd.readouterr().out


def test_no_value_of_any_variable_is_an_error(collector: FakeCollector, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(60):
        environ = {ENDPOINT: collector.endpoint} | combination(number)

        assert run(NAME, ["check", "--timeout", "0.1"], environ) in (0, 1)
        assert capfd.readouterr().err == ""
