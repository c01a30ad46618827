"""What is imported while the user waits: Lambda starts the runtime only when every extension has registered."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_lambda import NEXT, FakeLambda, shutdown
from tests.support.paths import PROJECT

ROOT = PROJECT

# Beyond what the bare interpreter has. Each name more is a later cold start: measure before it is added.
BEFORE_REGISTER = [
    "_socket",
    "telemetry_forwarder",
    "telemetry_forwarder.__main__",
    "telemetry_forwarder.clock",
    "telemetry_forwarder.diagnostics",
    "telemetry_forwarder.errors",
    "telemetry_forwarder.http1",
    "telemetry_forwarder.lambda_api",
    "telemetry_forwarder.lifecycle",
]
BEFORE_NEXT = sorted(
    [
        *BEFORE_REGISTER,
        "telemetry_forwarder.settings",
        "telemetry_forwarder.session",
        "telemetry_forwarder.port",
    ]
)

# As the bootstrap does, but with a client that tells what is imported when it is called.
TELL = """
import sys
bare = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import telemetry_forwarder.__main__
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.lambda_api import LambdaApi
from telemetry_forwarder.lifecycle import Lifecycle

def tell():
    print(*sorted(set(sys.modules) - bare), flush=True)

class Telling(LambdaApi):
    has_told = False
    def register(self, events):
        tell()
        super().register(events)
    def next_event(self, when_asked=None):
        if not self.has_told:
            self.has_told = True
            tell()
        return super().next_event(when_asked)

environ = {"TELEMETRY_FORWARDER_WARM_UP": sys.argv[3], "TELEMETRY_FORWARDER_SPOOL_DIR": sys.argv[4]}
Lifecycle(Telling(sys.argv[2], "telemetry-forwarder"), environ, Clock()).run()
"""


def imported(runtime: FakeLambda, *, warm_up: str, spool: Path) -> list[list[str]]:
    """The modules at `register`, and at the first `next`."""
    runtime.says(NEXT, shutdown())
    arguments = [str(ROOT), runtime.runtime_api, warm_up, str(spool)]

    told = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", TELL, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    return [line.split() for line in told.splitlines()]


def test_little_is_imported_before_register_and_hardly_more_before_next(tmp_path: Path) -> None:
    with FakeLambda() as runtime:
        at_register, at_next = imported(runtime, warm_up="background", spool=tmp_path)

    assert at_register == BEFORE_REGISTER
    assert at_next == BEFORE_NEXT


@pytest.mark.parametrize("warm_up", ["init", "auto"])
def test_warm_up_before_next_changes_nothing_before_register(tmp_path: Path, warm_up: str) -> None:
    with FakeLambda() as runtime:
        at_register, at_next = imported(runtime, warm_up=warm_up, spool=tmp_path)

    assert at_register == BEFORE_REGISTER
    assert "threading" in at_next
