"""Options, fixtures and the hypothesis profile of all tests."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.captured_log import CapturedLog
from tests.support.certificates import Certificates, issue_certificates
from tests.support.collector import FakeCollector
from tests.support.fake_lambda import FakeLambda
from tests.support.opt_tree import assemble

# The only profile. The time that an example takes depends on the machine, not on the property.
settings.register_profile(
    "project",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--opt",
        type=Path,
        default=None,
        help="test this /opt folder, e.g. an unpacked layer, instead of one assembled from the checkout",
    )
    parser.addoption(
        "--backends",
        action="store_true",
        help="build real back ends with Go for the conformance tests, once; it takes minutes",
    )


@pytest.fixture(scope="session")
def opt(request: pytest.FixtureRequest) -> Path:
    """Return a folder like Lambda's /opt that contains the extension."""
    folder: Path | None = request.config.getoption("--opt")
    return folder.resolve() if folder else assemble()


@pytest.fixture(autouse=True)
def uncaught_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore what reports exceptions that nobody catches: a session replaces it."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    """Run an OTLP receiver that accepts every request unless the test scripts other responses."""
    with FakeCollector() as collector:
        yield collector


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Issue the certificates of an authority, a server and a client."""
    return issue_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def runtime() -> Iterator[FakeLambda]:
    """Run an Extensions API that responds as the test scripts it."""
    with FakeLambda() as runtime:
        yield runtime


@pytest.fixture
def captured() -> Iterator[CapturedLog]:
    """Capture what is logged through `captured.diagnostics`."""
    with CapturedLog() as captured:
        yield captured
