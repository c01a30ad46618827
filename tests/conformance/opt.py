"""The opt folder of the conformance tests: the project's wheel, installed as a user of the layer has it."""

import hashlib
import shutil
import tempfile
import tomllib
from pathlib import Path

from tests.conformance.machine import CACHE, make_once, pip

_PROJECT = Path(__file__).parent.parent.parent
_FORGET_AFTER_S = 3600.0
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "telemetry_forwarder")


def opt_from_wheel() -> Path:
    """A folder that can be /opt, made once for each state of the sources."""
    sources = [
        _PROJECT / "pyproject.toml",
        *_files(_PROJECT / "telemetry_forwarder"),
        *_files(_PROJECT / "extension"),
    ]
    opt = (
        CACHE
        / f"opt-{_digest(*(part for path in sources for part in (str(path).encode(), path.read_bytes())))}"
    )
    if not opt.exists():
        make_once(opt, _make_opt)
    opt.touch()
    _forget_old(opt)
    return opt


def _forget_old(opt: Path) -> None:
    """Every change of the sources makes a folder; one that nobody used for an hour is of no more use."""
    for other in CACHE.glob("opt-*"):
        if opt.stat().st_mtime - other.stat().st_mtime > _FORGET_AFTER_S:
            shutil.rmtree(other, ignore_errors=True)


def _make_opt(opt: Path) -> None:
    shutil.copytree(_PROJECT / "extension", opt / "extensions")
    shutil.copytree(_dependencies(), opt / "telemetry-forwarder" / "lib")
    with tempfile.TemporaryDirectory() as folder:
        wheel = _wheel(Path(folder))
        pip("install", "--no-deps", "--target", str(opt / "telemetry-forwarder" / "lib"), str(wheel))


def _wheel(folder: Path) -> Path:
    # Built from a copy: setuptools leaves its own folders beside the sources, and puts what it finds there in.
    for name in _SOURCES:
        source = _PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(folder))
    [wheel] = folder.glob("*.whl")
    return wheel


def _dependencies() -> Path:
    """What the wheel needs, in a folder of its own: it changes seldom and takes longest."""
    requirements = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
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
