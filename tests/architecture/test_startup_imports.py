"""Checks what is imported while the user waits: Lambda starts the runtime only after every extension has registered."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_lambda import NEXT, FakeLambda, shutdown
from tests.support.paths import PRODUCT, PROJECT
from tests.support.subprocess_coverage import isolated_python

# In addition to what the bare interpreter imports. Every module more is a later cold start: measure before adding one.
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
BEFORE_NEXT = sorted([*BEFORE_REGISTER, "telemetry_forwarder.settings", "telemetry_forwarder.session"])

# Starts as the shell script does, but with a client that prints what is imported when it is called.
PROGRAM = """
import sys
bare = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import telemetry_forwarder.__main__
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.lambda_api import LambdaApi
from telemetry_forwarder.lifecycle import Lifecycle

def print_imported():
    print(*sorted(set(sys.modules) - bare), flush=True)

class PrintingApi(LambdaApi):
    has_printed = False
    def register(self, events):
        print_imported()
        return super().register(events)
    def next_event(self, **options):
        if not self.has_printed:
            self.has_printed = True
            print_imported()
        return super().next_event(**options)

environ = {"TELEMETRY_FORWARDER_WARM_UP": sys.argv[3], "TELEMETRY_FORWARDER_SPOOL_DIR": sys.argv[4]}
Lifecycle(PrintingApi(sys.argv[2], "telemetry-forwarder"), environ, Clock()).run()
"""


def imported(runtime: FakeLambda, *, warm_up: str, spool: Path) -> list[list[str]]:
    """Return the modules imported at `register`, and those imported at the first `next`."""
    runtime.respond(NEXT, shutdown())
    arguments = [str(PROJECT), runtime.runtime_api, warm_up, str(spool)]

    command = isolated_python(PROGRAM, *arguments)
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout

    return [line.split() for line in output.splitlines()]


def test_only_these_modules_are_imported_before_register_and_before_next(tmp_path: Path) -> None:
    with FakeLambda() as runtime:
        at_register, at_next = imported(runtime, warm_up="background", spool=tmp_path)

    assert at_register == BEFORE_REGISTER
    assert at_next == BEFORE_NEXT


def test_root_modules_are_those_imported_before_next(tmp_path: Path) -> None:
    with FakeLambda() as runtime:
        _, at_next = imported(runtime, warm_up="background", spool=tmp_path)

    ours = {name.removeprefix(f"{PRODUCT.name}.") for name in at_next if name.startswith(f"{PRODUCT.name}.")}
    assert ours == {path.stem for path in PRODUCT.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("warm_up", ["init", "auto"])
def test_warm_up_before_next_imports_nothing_before_register(tmp_path: Path, warm_up: str) -> None:
    with FakeLambda() as runtime:
        at_register, at_next = imported(runtime, warm_up=warm_up, spool=tmp_path)

    assert at_register == BEFORE_REGISTER
    assert "threading" in at_next


def test_the_worker_does_not_import_the_meter_of_the_sdk() -> None:
    """That takes a tenth of a cold start."""
    program = "import sys, telemetry_forwarder.worker.wiring; print('opentelemetry.sdk.metrics' in sys.modules)"

    output = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout

    assert output == b"False\n"
