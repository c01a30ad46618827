"""Fixtures of the conformance tests, and the noise they make when this machine cannot run them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.machine import Mode, missing
from tests.conformance.opt import opt_from_wheel
from tests.conformance.rotel import Rotel


@pytest.fixture(scope="session")
def wheel_opt(request: pytest.FixtureRequest) -> Path:
    """A folder as Lambda's /opt with the project's wheel in it, or the tree given with --opt."""
    given: Path | None = request.config.getoption("--opt")
    return given.resolve() if given else opt_from_wheel()


@pytest.fixture
def rotel() -> Iterator[Rotel]:
    with Rotel() as rotel:
        yield rotel


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("emulator"):
        if reason := missing(_mode(marker)):
            pytest.skip(f"NOT TESTED under AWS's emulator: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)}
    for reason in sorted(reason for reason in reasons if "NOT TESTED" in reason):
        terminalreporter.section("CONFORMANCE", sep="!", red=True, bold=True)
        terminalreporter.line(reason, red=True)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "emulator(mode): runs under AWS's own emulator, in that mode")


def _mode(marker: pytest.Mark) -> Mode:
    mode: Mode = marker.args[0]
    return mode
