"""The promise that every ELF file of a tree runs on Amazon Linux 2 and 2023 with nothing but their glibc."""

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


def complaints(root: Path, *, arch: str) -> list[str]:
    """Say what keeps the tree under *root* from running everywhere; an empty list is the good answer."""
    files = elf_files(root)
    shipped = frozenset(path.name for path in files)
    return [
        f"{path.relative_to(root)}: {complaint}"
        for path in files
        for complaint in _complaints_about(path, arch=arch, shipped=shipped)
    ]


def _complaints_about(path: Path, *, arch: str, shipped: frozenset[str]) -> Iterator[str]:
    try:
        wishes = elf.read(path)
    except elf.ElfError as exc:
        yield str(exc)
        return
    if wishes.arch != arch:
        yield f"is for {wishes.arch}, the layer for {arch}"
    for library in wishes.needed:
        is_shipped = library.removeprefix("$ORIGIN/../lib/") in shipped
        if not is_shipped and library not in _GLIBC_LIBRARIES:
            yield f"needs {library} of the host"
    for library, versions in wishes.versions.items():
        if library in _GLIBC_LIBRARIES:
            yield from (f"needs {version} of {library}" for version in versions if not _is_old(version))


def _is_old(version: str) -> bool:
    """Whether every supported glibc has *version*; GLIBC_PRIVATE and GLIBC_ABI_* are never old."""
    family, _, number = version.partition("_")
    parts = number.split(".")
    if family != "GLIBC" or not all(part.isdigit() for part in parts):
        return False
    return tuple(int(part) for part in parts) <= NEWEST_GLIBC
