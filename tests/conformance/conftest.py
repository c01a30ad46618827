"""Fixtures of the conformance tests, and a loud report if this machine cannot run them."""

import inspect
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.conformance.requirements import Mode, UnavailableError, go_program, missing
from tests.conformance.rie import RieError
from tests.conformance.rotel import Rotel
from tests.conformance.victoria import Victoria
from tests.conformance.wheel_opt import opt_from_wheel


@pytest.fixture(scope="session")
def wheel_opt(request: pytest.FixtureRequest) -> Path:
    """Return a folder like Lambda's /opt with the project's wheel, or the one that --opt names."""
    folder: Path | None = request.config.getoption("--opt")
    return folder.resolve() if folder else opt_from_wheel()


@pytest.fixture
def rotel() -> Iterator[Rotel]:
    with Rotel() as rotel:
        yield rotel


@pytest.fixture
def victoria(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Victoria]:
    """Run the program that the test's marker `victoria` names, in an empty folder."""
    [package] = request.node.get_closest_marker("victoria").args
    try:
        program = go_program(package, may_build=request.config.getoption("--backends"))
    except UnavailableError as reason:
        pytest.skip(f"NOT TESTED with {package.rpartition('/')[2]}: {reason}")
    with Victoria(program, tmp_path / "data") as victoria:
        yield victoria


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("emulator"):
        if reason := missing(_mode(marker)):
            pytest.skip(f"NOT TESTED under AWS's emulator: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Repeat a test once in which AWS's emulator stalled because of its own defect."""
    try:
        return (yield)
    except RieError as error:
        if not error.is_known_stall:
            raise
        print("AWS's emulator stalled; the test is repeated")
        names = inspect.signature(pyfuncitem.obj).parameters
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
        return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)}
    for reason in sorted(reason for reason in reasons if "NOT TESTED" in reason):
        terminalreporter.section("CONFORMANCE", sep="!", red=True, bold=True)
        terminalreporter.line(reason, red=True)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "emulator(mode): runs under AWS's own emulator in that mode")
    config.addinivalue_line("markers", "victoria(package): runs that Go program of VictoriaMetrics")


def _mode(marker: pytest.Mark) -> Mode:
    mode: Mode = marker.args[0]
    return mode
