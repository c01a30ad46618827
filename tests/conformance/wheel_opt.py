"""Builds the /opt folder of the conformance tests from the project's wheel."""

import hashlib
import shutil
import tempfile
import tomllib
from pathlib import Path

from tests.conformance.requirements import CACHE, make_once, pip
from tests.support.paths import PROJECT

_UNUSED_AFTER_S = 3600.0
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "telemetry_forwarder")


def opt_from_wheel() -> Path:
    """Return a folder to be mounted as /opt, built once for each state of the sources."""
    sources = [PROJECT / "pyproject.toml", *_files(PROJECT / "telemetry_forwarder"), *_files(PROJECT / "extension")]
    digest = _digest(*(part for path in sources for part in (str(path).encode(), path.read_bytes())))
    opt = CACHE / f"opt-{digest}"
    if not opt.exists():
        make_once(opt, _make_opt)
    opt.touch()
    _remove_unused(opt)
    return opt


def _remove_unused(opt: Path) -> None:
    """Remove the folders of older states of the sources that were not used for an hour."""
    for other in CACHE.glob("opt-*"):
        if opt.stat().st_mtime - other.stat().st_mtime > _UNUSED_AFTER_S:
            shutil.rmtree(other, ignore_errors=True)


def _make_opt(opt: Path) -> None:
    shutil.copytree(PROJECT / "extension", opt / "extensions")
    shutil.copytree(_dependencies(), opt / "telemetry-forwarder" / "lib")
    with tempfile.TemporaryDirectory() as folder:
        wheel = _wheel(Path(folder))
        pip("install", "--no-deps", "--target", str(opt / "telemetry-forwarder" / "lib"), str(wheel))


def _wheel(folder: Path) -> Path:
    # Built from a copy: setuptools leaves build folders in the sources and packages what it finds there.
    for name in _SOURCES:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(folder))
    [wheel] = folder.glob("*.whl")
    return wheel


def _dependencies() -> Path:
    """Return a folder with the wheel's dependencies, kept separately because they rarely change."""
    requirements = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    folder = CACHE / f"dependencies-{_digest(*(line.encode() for line in requirements))}"
    if not folder.exists():
        make_once(folder, lambda target: pip("install", "--target", str(target), *requirements))
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()[:12]
