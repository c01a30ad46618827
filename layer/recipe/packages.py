"""The Python packages of the layer: what a wheel would install, less what `layer/trim.toml` leaves out."""

import shutil
import zipfile
from pathlib import Path

from . import elf
from .trim import Trim

# Of a distribution's papers these are read at run time (importlib.metadata); licences go elsewhere.
_PAPERS_READ_AT_RUN_TIME = ("METADATA", "entry_points.txt")


def place_wheel(wheel: Path, lib: Path, trim: Trim) -> None:
    """Unpack *wheel* into *lib*."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            folder, _, rest = name.partition("/")
            if name.endswith("/"):
                continue
            if folder.endswith(".dist-info"):
                if rest in _PAPERS_READ_AT_RUN_TIME:
                    _write(lib / name, _without_description(archive.read(name)))
            elif not trim.leaves_out_of_package(name):
                _write(lib / name, archive.read(name))


def place_own(package: Path, lib: Path) -> None:
    """Copy our own package into *lib*."""
    shutil.copytree(package, lib / package.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


def remove_unused_cxx(lib: Path) -> list[Path]:
    """Take libstdc++ from the wishes of the C modules that name it but use nothing of it (protobuf's does).

    A host without libstdc++ would make protobuf fall back to its slow pure Python without a word.
    """
    changed = []
    for path in sorted(lib.rglob("*.so")):
        needed = elf.read(path)
        if "libstdc++.so.6" in needed.needed and "libstdc++.so.6" not in needed.versions:
            elf.remove_needed(path, "libstdc++.so.6")
            changed.append(path)
    return changed


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _without_description(metadata: bytes) -> bytes:
    """Name, version and requirements; the project's README stays behind."""
    return metadata.split(b"\n\n", 1)[0] + b"\n"
