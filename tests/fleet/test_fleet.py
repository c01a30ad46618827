"""Runs scenarios with a few environments, in a process of its own: its tasks are greenlets."""

import subprocess
import sys

import pytest

from tests.support.paths import PROJECT

NAMES = ("date", "slow", "small memory", "reset")


@pytest.mark.parametrize("name", NAMES)
def test_environments_do_not_return_at_the_same_moment_and_deliver_everything(name: str) -> None:
    command = [sys.executable, "-m", "tests.fleet", "--environments", "100", "--at-once", "1", name]

    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)

    assert run.returncode == 0, run.stdout + run.stderr


def test_unknown_scenario_is_an_error_that_lists_the_names() -> None:
    command = [sys.executable, "-m", "tests.fleet", "slow", "nonsense"]

    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)

    assert (run.returncode, run.stdout) == (2, "")
    assert "there is no scenario 'nonsense'; there are 'refused', 'hangs', " in run.stderr
    assert all(repr(name) in run.stderr for name in NAMES)
