"""Installs tools from npm, once, for the tests that run them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.requirements import make_once
from tests.support.paths import PROJECT

# The command, its package and the version. `osls` is the fork of the Serverless Framework that needs no licence key.
_PACKAGES = {"cdk": ("aws-cdk", "2.1148.1"), "osls": ("osls", "4.3.1")}


def npm_tool(command: str) -> Path:
    """Return the path of *command*, or skip the test where it cannot be installed."""
    if shutil.which("npm") is None:
        pytest.skip(f"NOT TESTED with {command}: npm is not installed")
    package, version = _PACKAGES[command]
    folder = PROJECT / "build" / "npm" / f"{package}-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_once(folder, lambda made: _install(f"{package}@{version}", made))
    return folder / "node_modules" / ".bin" / command


def _install(package: str, folder: Path) -> None:
    options = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    subprocess.run(["npm", "install", *options, package], check=True)
