"""Fixtures of the tests of `check`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from telemetry_forwarder.check.checker import Checker
from telemetry_forwarder.clock import Clock

MakeChecker = Callable[[dict[str, str]], Checker]


@pytest.fixture
def new_checker() -> Iterator[MakeChecker]:
    """Return a function that makes a checker of an environment."""
    with ExitStack() as stack:

        def make(environ: dict[str, str]) -> Checker:
            # A busy machine may be slower than the usual budget, which would be a warning.
            slow = {"TELEMETRY_FORWARDER_FLUSH_BUDGET_MS": "60000"}
            checker = Checker(slow | environ, Clock(), timeout_s=30.0)
            stack.callback(checker.close)
            return checker

        yield make
