"""Builds the layer for the tests, from a copy of the checkout that does not change during a test."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import LAYER, PROJECT

CACHE = PROJECT / "build" / "layer-cache"
# Everything that the layer is built from.
_SOURCES = ("layer", "telemetry_forwarder", "extension", "pyproject.toml", "LICENSE")


@pytest.fixture(scope="session")
def layer_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy everything that the layer is built from."""
    return copy_sources(PROJECT, tmp_path_factory.mktemp("layer") / "sources")


@pytest.fixture(scope="session")
def layer_zip(layer_sources: Path) -> Path:
    """Build the layer for this machine's architecture, once."""
    return build(layer_sources)


@pytest.fixture(scope="session")
def layer_opt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the layer as Lambda unpacks it to /opt, or the tree of the option --opt."""
    existing: Path | None = request.config.getoption("--opt")
    if existing:
        return existing.resolve()
    return unpack(request.getfixturevalue("layer_zip"), tmp_path_factory.mktemp("layer") / "opt")


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Create files in the place of the built zips."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for arch in ("x86_64", "arm64"):
        shutil.make_archive(str(folder / f"telemetry-forwarder-{arch}"), "zip", LAYER / "examples" / "cli")
    return folder


def needs(module: str, package: str) -> Any:
    """Import *module*, or skip the test with the reason."""
    return pytest.importorskip(module, reason=f"{package} is not installed: ./build.sh install layer")


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
    """Build in *project*; return the zip."""
    out = project / "dist"
    command = [sys.executable, "-B", "layer/build.py", *arguments, "--out", str(out), "--cache", str(CACHE)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [zipped] = out.glob("*.zip")
    return zipped


def unpack(zipped: Path, target: Path) -> Path:
    """Unpack as `unzip` does, modes included."""
    with zipfile.ZipFile(zipped) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, target))
            path.chmod(entry.external_attr >> 16 & 0o777)
    return target
