"""The zip: the same bytes for the same tree, and never more of them than the budget allows."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

# The oldest moment a zip can name; also what Lambda shows for files without one.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


class BudgetError(Exception):
    """The layer has grown beyond what was promised."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most bytes a layer may have. Lambda's own limit: 250 MB unzipped, function and layers together."""

    zipped_bytes: int
    unzipped_bytes: int


@dataclass(frozen=True, slots=True)
class Size:
    """What a layer has."""

    zipped_bytes: int
    unzipped_bytes: int

    def __str__(self) -> str:
        return f"{self.zipped_bytes / 1e6:.2f} MB zipped, {self.unzipped_bytes / 1e6:.2f} MB unzipped"


def write(root: Path, path: Path) -> Size:
    """Write the files under *root* to the zip *path*: sorted, with one time and two modes."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), _MOMENT)
            entry.create_system = _UNIX
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, file.read_bytes())
    return Size(path.stat().st_size, sum(file.stat().st_size for file in files))


def keep_within(size: Size, budget: Budget) -> None:
    """Raise `BudgetError` when *size* is over *budget*."""
    if size.zipped_bytes > budget.zipped_bytes or size.unzipped_bytes > budget.unzipped_bytes:
        allowed = Size(budget.zipped_bytes, budget.unzipped_bytes)
        raise BudgetError(f"the layer has {size}; the budget is {allowed}")
