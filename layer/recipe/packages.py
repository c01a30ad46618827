"""Unpacks the Python packages of the layer, without the files that `layer/trim.toml` omits."""

import shutil
import zipfile
from pathlib import Path

from . import elf
from .trim import Trim

# The files of a .dist-info folder that importlib.metadata reads; licences are stored elsewhere.
_METADATA_FILES = ("METADATA", "entry_points.txt")


def place_wheel(wheel: Path, lib: Path, trim: Trim) -> None:
    """Unpack *wheel* into *lib*."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            folder, _, rest = name.partition("/")
            if name.endswith("/"):
                continue
            if folder.endswith(".dist-info"):
                if rest in _METADATA_FILES:
                    _write(lib / name, _without_description(archive.read(name)))
            elif not trim.omits_from_package(name):
                _write(lib / name, archive.read(name))


def place_own(package: Path, lib: Path) -> None:
    """Copy our own package into *lib*."""
    shutil.copytree(package, lib / package.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


def remove_unused_cxx(lib: Path) -> list[Path]:
    """Remove libstdc++ from the needed libraries of C modules that do not use it, such as protobuf's; return these.

    On a host without libstdc++, protobuf would silently fall back to its slow pure Python.
    """
    changed = []
    for path in sorted(lib.rglob("*.so")):
        requirements = elf.read(path)
        if "libstdc++.so.6" in requirements.needed and "libstdc++.so.6" not in requirements.versions:
            elf.remove_needed(path, "libstdc++.so.6")
            changed.append(path)
    return changed


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _without_description(metadata: bytes) -> bytes:
    """Return name, version and requirements without the project's README."""
    return metadata.split(b"\n\n", 1)[0] + b"\n"
