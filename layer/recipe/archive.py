"""Writes the zip: the same bytes for the same tree. Checks its size."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

# The earliest time in a zip; Lambda shows the same for files without one.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


class BudgetError(Exception):
    """The layer is larger than its budget."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The maximum size of a layer. Lambda's own limit is 250 MB unzipped, for function and layers together."""

    zipped_bytes: int
    unzipped_bytes: int


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a layer."""

    zipped_bytes: int
    unzipped_bytes: int

    def __str__(self) -> str:
        return f"{self.zipped_bytes / 1e6:.2f} MB zipped, {self.unzipped_bytes / 1e6:.2f} MB unzipped"


def write(root: Path, path: Path) -> Size:
    """Write the files under *root* to the zip *path*: sorted, all with one timestamp, and one of two modes."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), _TIMESTAMP)
            entry.create_system = _UNIX
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, file.read_bytes())
    return Size(path.stat().st_size, sum(file.stat().st_size for file in files))


def check_size(size: Size, budget: Budget) -> None:
    """Raise `BudgetError` if *size* exceeds *budget*."""
    if size.zipped_bytes > budget.zipped_bytes or size.unzipped_bytes > budget.unzipped_bytes:
        allowed = Size(budget.zipped_bytes, budget.unzipped_bytes)
        raise BudgetError(f"the layer is {size}; the budget is {allowed}")
