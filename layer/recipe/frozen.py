"""The interpreter of the default layer: the portable CPython in the freeze-core wheel.

Its executable runs `__init__<its own name>.run()` from the folder `lib` next to it and searches nowhere else. About 150
modules of the standard library are frozen into it.
https://github.com/marcelotduarte/freeze-core/blob/main/src/freeze_core/bases/_common.c
"""

import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import elf
from .trim import Trim

# A name with a hyphen would make freeze-core import `string` and `re` at each start to derive a module name.
EXECUTABLE = "interpreter"
# The code that the executable runs first. It imports nothing that `register` does not need.
START = '''"""Entry point of the interpreter; sys.argv[1] is the name of the extension, the rest its arguments."""


def run(_name):
    import _signal
    import sys

    # An embedded interpreter does not set signal handlers. Do what `python` does: writing to a closed connection, or
    # beyond the file size limit, raises an exception instead of ending the process.
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_IGN)

    from telemetry_forwarder.__main__ import main

    main(sys.argv[1], sys.argv[2:])
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
            name = next(n for n in archive.namelist() if n.startswith("freeze_core/frozen/") and n.endswith(".json"))
            modules: dict[str, str] = json.loads(archive.read(name))
        return modules

    @property
    def version(self) -> str:
        """The full version, such as 3.13.17."""
        return self._modules["__version__"].split()[0]

    @property
    def built_in(self) -> frozenset[str]:
        """The modules in the executable, which are never read from the standard library's folder."""
        return frozenset(self._modules) - {"__version__"}

    def place(self, root: Path, trim: Trim) -> None:
        """Write the executable to *root*, and its C modules with the libraries they need to root/lib."""
        (root / "lib").mkdir(parents=True, exist_ok=True)
        self.place_executable(root)
        with zipfile.ZipFile(self.wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".so") or ".so." in name]
            libraries = {Path(name).name: name for name in names if name.startswith("freeze_core.libs/")}
            pending = [
                name
                for name in names
                if name.startswith("freeze_core/lib/") and not trim.omits_module(Path(name).name.split(".")[0])
            ]
            while pending:
                name = pending.pop()
                path = root / "lib" / Path(name).name
                if not path.exists():
                    path.write_bytes(archive.read(name))
                    elf.set_rpath(path, "$ORIGIN")
                    pending += [libraries[n] for n in elf.read(path).needed if n in libraries]

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
        """Return the versions of the system libraries in the wheel by package name, as auditwheel recorded them."""
        with zipfile.ZipFile(self.wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith("sboms/auditwheel.cdx.json"))
            components = json.loads(archive.read(name))["components"]
        return {component["name"]: component["version"] for component in components}
