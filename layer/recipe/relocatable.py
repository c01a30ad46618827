"""The other interpreter (`--python DIR`): any CPython that can be moved, as python-build-standalone makes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import elf
from .trim import Trim


class RelocatableError(Exception):
    """The folder given does not hold a CPython that the layer can carry."""


@dataclass(frozen=True, slots=True)
class RelocatablePython:
    """A CPython in *folder* with bin/python3.N and lib/python3.N."""

    folder: Path

    @property
    def minor(self) -> str:
        """Such as 3.13."""
        return self._stdlib.name.removeprefix("python")

    @property
    def executable(self) -> Path:
        return (self.folder / "bin" / f"python{self.minor}").resolve()

    @property
    def _stdlib(self) -> Path:
        found = sorted(path.parent for path in self.folder.glob("lib/python3.*/os.py"))
        if len(found) != 1:
            raise RelocatableError(f"{self.folder} has {len(found)} folders lib/python3.N, not one")
        return found[0]

    def place(self, root: Path, trim: Trim) -> None:
        """Copy the interpreter into *root*/python as bin/python3 and what it needs beside it."""
        target = root / "python"
        (target / "bin").mkdir(parents=True)
        shutil.copy2(self.executable, target / "bin" / "python3")
        for source in sorted(self._stdlib.rglob("*")):
            name = source.relative_to(self._stdlib).as_posix()
            if source.is_file() and self._is_wanted(name, trim):
                path = target / "lib" / self._stdlib.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, path)
        self._place_shared_libraries(target)

    def _is_wanted(self, name: str, trim: Trim) -> bool:
        folder, _, file = name.rpartition("/")
        if folder == "lib-dynload":
            return not trim.leaves_out_module(file.split(".")[0])
        # The build's own traces: static libraries, installed packages, old byte code.
        is_ballast = name.startswith(("site-packages/", "config-")) or "__pycache__" in name
        return name.endswith(".py") and not is_ballast and not trim.leaves_out_of_stdlib(name)

    def _place_shared_libraries(self, target: Path) -> None:
        """Copy from lib/ what an ELF file of the tree names, and what that names in turn."""
        waiting = [target / "bin" / "python3", *(target / "lib").rglob("*.so")]
        while waiting:
            for name in elf.read(waiting.pop()).needed:
                # python-build-standalone writes $ORIGIN/../lib/libpython3.N.so.1.0.
                needed = Path(name).name
                source, path = self.folder / "lib" / needed, target / "lib" / needed
                if source.exists() and not path.exists():
                    shutil.copy2(source, path)
                    waiting.append(path)
