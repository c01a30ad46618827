"""Builds the layer for the tests, from a copy of the checkout that nobody changes meanwhile."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

CACHE = PROJECT / "build" / "layer-cache"
# All that the layer is made of.
_SOURCES = ("layer", "telemetry_forwarder", "extension", "pyproject.toml", "LICENSE")


@pytest.fixture(scope="session")
def layer_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the layer is made of."""
    return copy_sources(PROJECT, tmp_path_factory.mktemp("layer") / "sources")


@pytest.fixture(scope="session")
def layer_zip(layer_sources: Path) -> Path:
    """The layer for this machine's architecture, built once."""
    return build(layer_sources)


@pytest.fixture(scope="session")
def layer_opt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer as Lambda unpacks it to /opt, or the tree that --opt names."""
    given: Path | None = request.config.getoption("--opt")
    if given:
        return given.resolve()
    return unpack(request.getfixturevalue("layer_zip"), tmp_path_factory.mktemp("layer") / "opt")


def copy_sources(project: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for name in _SOURCES:
        source = project / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "dist")
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy(source, target / name)
    return target


def build(project: Path, *arguments: str) -> Path:
    """Build in *project*; returns the one zip that was made."""
    out = project / "dist"
    command = [sys.executable, "-B", "layer/build.py", *arguments, "--out", str(out), "--cache", str(CACHE)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [made] = out.glob("*.zip")
    return made


def unpack(zipped: Path, target: Path) -> Path:
    """Unpack as `unzip` does, modes included."""
    with zipfile.ZipFile(zipped) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, target))
            path.chmod(entry.external_attr >> 16 & 0o777)
    return target
