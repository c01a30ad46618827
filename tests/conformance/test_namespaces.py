"""Nothing that was started in namespaces survives, however the test ends."""

import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.namespaces import IS_ROOT, process_in_namespaces
from tests.support.paths import PROJECT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.emulator("standard")

# Ignores SIGTERM and leaves a child in another session.
STUBBORN = "trap '' TERM; setsid sleep {0} & sleep {0}"
KILLED = """
import os, signal, sys
from tests.conformance.namespaces import IS_ROOT, process_in_namespaces

with process_in_namespaces(["sh", "-c", sys.argv[1]], as_user=not IS_ROOT):
    input()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def seconds() -> str:
    """A time to sleep that no other process uses."""
    return f"600.{secrets.randbelow(10**9):09}"


def test_a_failed_test_leaves_no_process_behind(seconds: str) -> None:
    command = ["sh", "-c", STUBBORN.format(seconds)]

    def fail() -> None:
        with process_in_namespaces(command, as_user=not IS_ROOT):
            wait_until(lambda: len(sleeping(seconds)) == 2)
            raise RuntimeError("the test fails")

    with pytest.raises(RuntimeError, match="the test fails"):
        fail()

    wait_until(lambda: not sleeping(seconds))


def test_a_killed_test_run_leaves_no_process_behind(seconds: str) -> None:
    command = [sys.executable, "-c", KILLED, STUBBORN.format(seconds)]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, text=True) as run:
        wait_until(lambda: len(sleeping(seconds)) == 2)
        run.communicate("\n")

    assert run.returncode == -signal.SIGKILL
    wait_until(lambda: not sleeping(seconds))


def sleeping(seconds: str) -> list[str]:
    """Return the ids of the processes that sleep for *seconds*."""
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if _is_sleep(path, seconds)]


def _is_sleep(path: Path, seconds: str) -> bool:
    try:
        return path.read_bytes() == f"sleep\0{seconds}\0".encode()
    except OSError:
        return False
