"""Installs the layer's checkers before the first test runs, if one of the selected tests needs them."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import PROJECT


def pytest_collection_finish(session: pytest.Session) -> None:
    is_needed = any(item.get_closest_marker("layer_checkers") for item in session.items)
    if not is_needed or session.config.option.collectonly or not _is_environment_of_build_script():
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture
    with capture.global_and_fixture_disabled():
        done = subprocess.run(_command(), env=os.environ | {"TELEMETRY_FORWARDER_VENV_IN_USE": "true"})
    if done.returncode != 0:
        reason = (
            "the layer's checkers could not be installed; without the tests that need them: -m 'not layer_checkers'"
        )
        pytest.exit(reason, returncode=done.returncode)
    importlib.invalidate_caches()


def _is_environment_of_build_script() -> bool:
    """In another environment, `needs` skips a test without its checker."""
    environment = Path(sys.prefix)
    return environment.parent == PROJECT / "build" and (environment / ".made-for").exists()


def _command() -> list[str]:
    version = Path(sys.prefix).name.removeprefix("venv").removeprefix("-")
    return ["/bin/sh", str(PROJECT / "build.sh"), "install", *(["--python", version] if version else []), "layer"]
