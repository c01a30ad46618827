"""The interpreter of `--python DIR`: any relocatable CPython, such as those of python-build-standalone."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import elf
from .trim import Trim


class RelocatableError(Exception):
    """The folder does not contain a CPython that the layer can use."""


@dataclass(frozen=True, slots=True)
class RelocatablePython:
    """A CPython in *folder* with bin/python3.N and lib/python3.N."""

    folder: Path

    @property
    def minor(self) -> str:
        """The minor version, such as 3.13."""
        return self._stdlib.name.removeprefix("python")

    @property
    def executable(self) -> Path:
        return (self.folder / "bin" / f"python{self.minor}").resolve()

    @property
    def _stdlib(self) -> Path:
        folders = sorted(path.parent for path in self.folder.glob("lib/python3.*/os.py"))
        if len(folders) != 1:
            raise RelocatableError(f"{self.folder} has {len(folders)} folders lib/python3.N, not one")
        return folders[0]

    def place(self, root: Path, trim: Trim) -> None:
        """Copy the interpreter to *root*/python/bin/python3, with the files that it needs."""
        target = root / "python"
        (target / "bin").mkdir(parents=True)
        shutil.copy2(self.executable, target / "bin" / "python3")
        for source in sorted(self._stdlib.rglob("*")):
            name = source.relative_to(self._stdlib).as_posix()
            if source.is_file() and self._is_shipped(name, trim):
                path = target / "lib" / self._stdlib.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, path)
        self._place_shared_libraries(target)

    def _is_shipped(self, name: str, trim: Trim) -> bool:
        folder, _, file = name.rpartition("/")
        if folder == "lib-dynload":
            return not trim.omits_module(file.split(".")[0])
        # Remains of its build: static libraries, installed packages, old byte code.
        is_ballast = name.startswith(("site-packages/", "config-")) or "__pycache__" in name
        return name.endswith(".py") and not is_ballast and not trim.omits_from_stdlib(name)

    def _place_shared_libraries(self, target: Path) -> None:
        """Copy from lib/ the libraries that ELF files of the tree need, directly or indirectly."""
        pending = [target / "bin" / "python3", *(target / "lib").rglob("*.so")]
        while pending:
            for name in elf.read(pending.pop()).needed:
                # python-build-standalone writes $ORIGIN/../lib/libpython3.N.so.1.0.
                needed = Path(name).name
                source, path = self.folder / "lib" / needed, target / "lib" / needed
                if source.exists() and not path.exists():
                    shutil.copy2(source, path)
                    pending.append(path)
