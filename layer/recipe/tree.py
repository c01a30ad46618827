"""Puts together the tree that becomes /opt: extension, interpreter, byte code, certificates, papers."""

import shutil
import tempfile
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from . import bundling, compiling, debian, fetch, frozen, packages, papers, portability, trim
from .pins import Deb, Pins, Stdlib
from .relocatable import RelocatablePython

LAYER = Path(__file__).resolve().parent.parent
PROJECT = LAYER.parent
NAME = "telemetry-forwarder"

_DEB_LICENCES = {
    "zlib1g": "Zlib",
    "libpython": "PSF-2.0",
    "libstdc++6": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "gcc-10-base": "GPL-3.0-or-later WITH GCC-exception-3.1",
}


class TreeError(Exception):
    """What was built must not be shipped."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built. *native* is this machine's architecture: its interpreter compiles for both."""

    arch: str
    native: str
    with_grpc: bool
    python: RelocatablePython | None

    @property
    def flavour(self) -> str:
        if self.python:
            return "other-python"
        return "grpc" if self.with_grpc else "default"

    @property
    def roles(self) -> tuple[str, ...]:
        return ("library", "grpc") if self.with_grpc else ("library",)


class TreeBuilder:
    """Builds one tree in the empty folder *target*; foreign files come through *cache*."""

    def __init__(self, order: Order, *, pins: Pins, cache: Path, target: Path) -> None:
        self._order = order
        self._pins = pins
        self._cache = cache
        self._target = target
        self._root = target / NAME
        self._lib = self._root / "lib"
        self._trim = trim.read(LAYER / "trim.toml")
        self._components: list[papers.Component] = []
        self._facts = {"architecture": order.arch, "flavour": order.flavour}
        self.recorded: bundling.Record = (0, [], b"")
        """What a warm-up in this tree uses; after `build`, if it is for this machine."""

    def build(self) -> dict[str, str]:
        """Build and check the tree; returns the facts that stand in its VERSION."""
        self._lib.mkdir(parents=True)
        self._place_extension()
        self._place_packages()
        if self._order.python is None:
            self._place_frozen_interpreter()
        else:
            self._place_relocatable_interpreter(self._order.python)
        self._write_papers()
        complaints = portability.complaints(self._target, arch=self._order.arch)
        if complaints:
            raise TreeError("not portable:\n  " + "\n  ".join(complaints))
        return self._facts

    def _place_extension(self) -> None:
        extensions = self._target / "extensions"
        extensions.mkdir()
        shutil.copy(PROJECT / "extension" / NAME, extensions / NAME)
        (extensions / NAME).chmod(0o755)

    def _place_packages(self) -> None:
        pinned = [
            wheel
            for wheel in self._pins.with_role(*self._order.roles)
            if wheel.name not in self._trim.distributions
        ]
        for wheel in fetch.wheels(pinned, arch=self._order.arch, python=self._pins.python, cache=self._cache):
            packages.place_wheel(wheel, self._lib, self._trim)
            self._components.append(papers.of_wheel(wheel))
        packages.remove_unused_cxx(self._lib)
        packages.place_own(PROJECT / "telemetry_forwarder", self._lib)

    def _place_frozen_interpreter(self) -> None:
        interpreter = self._frozen(self._order.arch)
        interpreter.place(self._root, self._trim)
        own = self._place_shared_libraries()
        self._components += papers.of_bundled(
            self._lib, interpreter.bundled_library_versions(), LAYER / "licences", own
        )
        self._components += [_cpython(interpreter.version), papers.of_wheel(interpreter.wheel)]
        stdlib = self._place_stdlib(interpreter)
        (self._lib / f"__init__{frozen.EXECUTABLE}.py").write_text(frozen.START)
        compiled_by = compiling.compile_tree(self._lib, self._frozen(self._order.native))
        self._facts |= {"python": interpreter.version, "stdlib": stdlib.version}
        if not interpreter.version == compiled_by or not stdlib.version.startswith(f"{self._pins.python}."):
            raise TreeError(f"compiled by {compiled_by}, made for {interpreter.version} and {stdlib.version}")
        self._write_bundle(self._recorded())

    def _write_bundle(self, recorded: bundling.Record) -> None:
        """Write it and remove what it holds, but for our own: these begin before it is opened."""
        own = self._lib / "telemetry_forwarder"
        for file in bundling.write(self._lib, recorded):
            # A folder may be a package by being there, and zips have no empty folders.
            if not file.is_relative_to(own) and len(list(file.parent.iterdir())) > 1:
                file.unlink()

    def _recorded(self) -> bundling.Record:
        """What the warm-up uses: of this tree or, for the other architecture, of the same one for this machine."""
        order = self._order
        if order.arch == order.native:
            self.recorded = bundling.record(self._lib, self._frozen(order.native))
            return self.recorded
        with tempfile.TemporaryDirectory() as folder:
            twin = TreeBuilder(
                replace(order, arch=order.native), pins=self._pins, cache=self._cache, target=Path(folder)
            )
            twin.build()
            return twin.recorded

    def _place_relocatable_interpreter(self, python: RelocatablePython) -> None:
        if python.minor != self._pins.python:
            raise TreeError(
                f"the pinned packages are for Python {self._pins.python}, not {python.minor}:"
                " change PYTHON in layer/lock.py and run it"
            )
        if self._order.with_grpc:
            raise TreeError("--with-grpc brings a libstdc++ that only the default interpreter finds")
        python.place(self._root, self._trim)
        for folder in (self._lib, self._root / "python" / "lib" / f"python{python.minor}"):
            if self._order.arch == self._order.native:
                version = compiling.compile_tree_with(self._root / "python" / "bin" / "python3", folder)
            else:
                version = compiling.compile_tree(folder, self._frozen(self._order.native))
        if self._order.arch == self._order.native:
            # For the other one there is no interpreter of this release here; without a bundle the start takes longer.
            recorded = bundling.record_with(self._root / "python" / "bin" / "python3", self._lib)
            self._write_bundle(recorded)
        self._facts |= {"python": version, "stdlib": version}
        self._components.append(_cpython(version))

    def _frozen(self, arch: str) -> frozen.FrozenPython:
        pinned = self._pins.with_role("interpreter")
        wheel = fetch.wheels(pinned, arch=arch, python=self._pins.python, cache=self._cache)[0]
        return frozen.FrozenPython(wheel, arch)

    def _place_shared_libraries(self) -> set[str]:
        """Put zlib (and for gRPC the C++ run time) into lib/ under their sonames; returns those."""
        placed: set[str] = set()
        for role in self._order.roles:
            for pinned in self._pins.debs.get(role, {}).get(self._order.arch, ()):
                deb = fetch.deb(pinned, cache=self._cache)
                for soname, content in debian.shared_libraries(deb):
                    (self._lib / soname).write_bytes(content)
                    placed.add(soname)
                self._account_for(pinned, deb)
        return placed

    def _account_for(self, pinned: Deb, deb: Path) -> None:
        licence = next(text for start, text in _DEB_LICENCES.items() if pinned.name.startswith(start))
        component = papers.of_deb(deb, name=pinned.name, version=pinned.version, licence=licence)
        # Of several packages of one source Debian lets one carry the papers.
        if component.texts:
            self._components.append(component)

    def _place_stdlib(self, interpreter: frozen.FrozenPython) -> Stdlib:
        """Put what is not frozen into the executable and not left out into lib/."""
        stdlib = fetch.stdlib(self._pins.stdlibs, cache=self._cache)
        prefix = f"usr/lib/python{self._pins.python}/"
        for pinned in stdlib.debs:
            deb = fetch.deb(pinned, cache=self._cache)
            for path, content in debian.files(deb):
                name = path.removeprefix(prefix)
                if name == path or not name.endswith(".py") or name.startswith("lib-dynload/"):
                    continue
                module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                if module in interpreter.built_in or self._trim.leaves_out_of_stdlib(name):
                    continue
                (self._lib / name).parent.mkdir(parents=True, exist_ok=True)
                (self._lib / name).write_bytes(content)
            self._account_for(pinned, deb)
        return stdlib

    def _write_papers(self) -> None:
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        own = papers.Component(
            NAME,
            project["version"],
            f"pkg:pypi/{NAME}@{project['version']}",
            "Apache-2.0",
            {"LICENSE": (PROJECT / "LICENSE").read_bytes()},
        )
        papers.write(
            self._root,
            name=NAME,
            version=project["version"],
            facts=self._facts,
            components=[own, *sorted(self._components, key=lambda component: component.name.lower())],
        )


def _cpython(version: str) -> papers.Component:
    text = (LAYER / "licences" / "python.txt").read_bytes()
    return papers.Component(
        "cpython", version, f"pkg:generic/cpython@{version}", "PSF-2.0", {"LICENSE": text}
    )
