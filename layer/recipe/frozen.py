"""The interpreter of the default layer: the portable CPython inside the freeze-core wheel.

Its executable starts `__init__<its own name>.run()` from the folder `lib` beside it and looks nowhere else;
about 150 modules of the standard library are frozen into it.
https://github.com/marcelotduarte/freeze-core/blob/main/src/freeze_core/bases/_common.c
"""

import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import elf
from .trim import Trim

# A name with a hyphen would make freeze-core import `string` and `re` at each start to find a module name.
EXECUTABLE = "interpreter"
# What the executable runs first. Nothing is imported that `register` does not need.
START = '''"""Where the interpreter of the layer begins; sys.argv[1] is the name that Lambda knows us by."""


def run(_name):
    import _signal
    import sys

    # An embedded interpreter leaves signals alone. As `python` does, and as all code expects: a connection that
    # the other side has closed, or a file at its limit, is an exception and not the end of the process.
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_IGN)

    from telemetry_forwarder.__main__ import main

    main(sys.argv[1])
'''
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class FrozenPython:
    """A freeze-core wheel of one architecture."""

    wheel: Path
    arch: str

    @cached_property
    def _modules(self) -> dict[str, str]:
        with zipfile.ZipFile(self.wheel) as archive:
            name = next(
                n for n in archive.namelist() if n.startswith("freeze_core/frozen/") and n.endswith(".json")
            )
            modules: dict[str, str] = json.loads(archive.read(name))
        return modules

    @property
    def version(self) -> str:
        """Such as 3.13.17."""
        return self._modules["__version__"].split()[0]

    @property
    def built_in(self) -> frozenset[str]:
        """Modules inside the executable: what the standard library's folder has of them is never read."""
        return frozenset(self._modules) - {"__version__"}

    def place(self, root: Path, trim: Trim) -> None:
        """Put the executable into *root*, its C modules and the libraries those need into root/lib."""
        (root / "lib").mkdir(parents=True, exist_ok=True)
        self.place_executable(root)
        with zipfile.ZipFile(self.wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".so") or ".so." in name]
            libraries = {Path(name).name: name for name in names if name.startswith("freeze_core.libs/")}
            wanted = [
                name
                for name in names
                if name.startswith("freeze_core/lib/")
                and not trim.leaves_out_module(Path(name).name.split(".")[0])
            ]
            while wanted:
                name = wanted.pop()
                path = root / "lib" / Path(name).name
                if not path.exists():
                    path.write_bytes(archive.read(name))
                    elf.set_rpath(path, "$ORIGIN")
                    wanted += [libraries[n] for n in elf.read(path).needed if n in libraries]

    def place_executable(self, root: Path, name: str = EXECUTABLE) -> Path:
        path = root / name
        with zipfile.ZipFile(self.wheel) as archive:
            machine = _MACHINES[self.arch]
            member = next(
                n
                for n in archive.namelist()
                if n.startswith("freeze_core/bases/console-cpython-") and f"-{machine}-" in n
            )
            path.write_bytes(archive.read(member))
        path.chmod(0o755)
        return path

    def bundled_library_versions(self) -> dict[str, str]:
        """Versions of the system libraries in the wheel, by package name, as auditwheel wrote them down."""
        with zipfile.ZipFile(self.wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith("sboms/auditwheel.cdx.json"))
            components = json.loads(archive.read(name))["components"]
        return {component["name"]: component["version"] for component in components}
