"""Checks that every ELF file of a tree runs on Amazon Linux 2 and 2023 with no library but their glibc."""

from collections.abc import Iterator
from pathlib import Path

from . import elf

# Amazon Linux 2 (provided.al2, java11, java17, python3.11) has glibc 2.26, Amazon Linux 2023 has 2.34.
NEWEST_GLIBC = (2, 26)

_GLIBC_LIBRARIES = frozenset(
    {
        "libc.so.6",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "libutil.so.1",
        "librt.so.1",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
    }
)


def elf_files(root: Path) -> list[Path]:
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in files if elf.is_elf(path))


def find_problems(root: Path, *, arch: str) -> list[str]:
    """Return what prevents the tree under *root* from running everywhere, one sentence each."""
    files = elf_files(root)
    shipped = frozenset(path.name for path in files)
    return [
        f"{path.relative_to(root)}: {problem}"
        for path in files
        for problem in _problems_of(path, arch=arch, shipped=shipped)
    ]


def _problems_of(path: Path, *, arch: str, shipped: frozenset[str]) -> Iterator[str]:
    try:
        requirements = elf.read(path)
    except elf.ElfError as exc:
        yield str(exc)
        return
    if requirements.arch != arch:
        yield f"is for {requirements.arch}, the layer for {arch}"
    for library in requirements.needed:
        is_shipped = library.removeprefix("$ORIGIN/../lib/") in shipped
        if not is_shipped and library not in _GLIBC_LIBRARIES:
            yield f"needs {library} of the host"
    for library, versions in requirements.versions.items():
        if library in _GLIBC_LIBRARIES:
            yield from (f"needs {version} of {library}" for version in versions if not _is_old(version))


def _is_old(version: str) -> bool:
    """Return whether every supported glibc has *version*; GLIBC_PRIVATE and GLIBC_ABI_* never count as old."""
    family, _, number = version.partition("_")
    parts = number.split(".")
    if family != "GLIBC" or not all(part.isdigit() for part in parts):
        return False
    return tuple(int(part) for part in parts) <= NEWEST_GLIBC
