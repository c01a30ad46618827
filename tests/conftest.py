"""Options and fixtures that every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.collector import FakeCollector
from tests.support.opt_tree import assemble


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--opt",
        type=Path,
        default=None,
        help="an assembled /opt folder to test instead of this checkout's (an unpacked layer, say)",
    )


@pytest.fixture(scope="session")
def opt(request: pytest.FixtureRequest) -> Path:
    """A folder as Lambda's /opt, with the extension in it."""
    given: Path | None = request.config.getoption("--opt")
    return given.resolve() if given else assemble()


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    """An OTLP receiver that takes everything, until a test's script says otherwise."""
    with FakeCollector() as collector:
        yield collector
