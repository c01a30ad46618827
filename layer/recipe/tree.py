"""Assembles the tree that becomes /opt: extension, interpreter, byte code, certificates, documents."""

import subprocess
import tempfile
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from . import bundling, compiling, debian, documents, fetch, frozen, packages, portability, trim
from .pins import Deb, Pins, Stdlib
from .relocatable import RelocatablePython

LAYER = Path(__file__).resolve().parent.parent
PROJECT = LAYER.parent
NAME = "telemetry-forwarder"

# The dynamic linkers of glibc, by which the start script recognises another architecture or another C library.
_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
# The suites are those of layer/lock.py. Debian's security tracker has the source packages, which are "upstream" here.
_DEB_ORIGINS = {
    "zlib1g": documents.Origin("Zlib", "zlib:zlib", "distro=debian-13&upstream=zlib"),
    "libpython": documents.Origin("PSF-2.0", "python:python", "upstream=python3.13"),
}


class TreeError(Exception):
    """The tree that was built must not be shipped."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What to build. *native* is this machine's architecture, whose interpreter compiles for both."""

    arch: str
    native: str
    python: RelocatablePython | None

    @property
    def flavour(self) -> str:
        return "other-python" if self.python else "default"


def commit_of(project: Path) -> str:
    """Return the commit of the checkout *project*, with `-dirty` if files differ from it; `unknown` if it is none."""
    git = ["git", "-C", str(project)]
    try:
        # A folder inside of another project's checkout has no commit of its own.
        if subprocess.check_output([*git, "rev-parse", "--show-prefix"], stderr=subprocess.DEVNULL).strip():
            return "unknown"
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.check_output(describe, stderr=subprocess.DEVNULL, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class TreeBuilder:
    """Builds one tree in the empty folder *target*; downloads are kept in *cache*."""

    def __init__(self, options: BuildOptions, *, pins: Pins, cache: Path, target: Path) -> None:
        self._options = options
        self._pins = pins
        self._cache = cache
        self._target = target
        self._root = target / NAME
        self._lib = self._root / "lib"
        self._trim = trim.read(LAYER / "trim.toml")
        self._components: list[documents.Component] = []
        self._facts = {"commit": commit_of(PROJECT), "architecture": options.arch, "flavour": options.flavour}
        self.recorded: bundling.Record = (0, [], b"")
        """What a warm-up of this tree uses; set by `build` if the tree is for this machine."""

    def build(self) -> dict[str, str]:
        """Build and check the tree; return the facts that its VERSION contains."""
        self._lib.mkdir(parents=True)
        self._place_extension()
        self._place_packages()
        if self._options.python is None:
            self._place_frozen_interpreter()
        else:
            self._place_relocatable_interpreter(self._options.python)
        self._write_documents()
        problems = portability.find_problems(self._target, arch=self._options.arch)
        if problems:
            raise TreeError("not portable:\n  " + "\n  ".join(problems))
        return self._facts

    def _place_extension(self) -> None:
        extensions = self._target / "extensions"
        extensions.mkdir()
        script = (PROJECT / "extension" / NAME).read_text()
        arch = self._options.arch
        named = script.replace("arch='' loader=''", f"arch='{arch}' loader='{_LOADERS[arch]}'")
        if named == script:
            raise TreeError("the start script has no place for the architecture")
        (extensions / NAME).write_text(named)
        (extensions / NAME).chmod(0o755)

    def _place_packages(self) -> None:
        pinned = [wheel for wheel in self._pins.with_role("library") if wheel.name not in self._trim.distributions]
        for wheel in fetch.wheels(pinned, arch=self._options.arch, python=self._pins.python, cache=self._cache):
            packages.place_wheel(wheel, self._lib, self._trim)
            self._components.append(documents.of_wheel(wheel))
        packages.remove_unused_cxx(self._lib)
        packages.place_own(PROJECT / "telemetry_forwarder", self._lib)

    def _place_frozen_interpreter(self) -> None:
        interpreter = self._frozen(self._options.arch)
        interpreter.place(self._root, self._trim)
        own = self._place_shared_libraries()
        self._components += documents.of_bundled(
            self._lib, interpreter.bundled_library_versions(), LAYER / "licences", own
        )
        self._components += [_cpython(interpreter.version), documents.of_wheel(interpreter.wheel)]
        stdlib = self._place_stdlib(interpreter)
        (self._lib / f"__init__{frozen.EXECUTABLE}.py").write_text(frozen.START)
        compiled_by = compiling.compile_tree(self._lib, self._frozen(self._options.native))
        self._facts |= {"python": interpreter.version, "stdlib": stdlib.version}
        if not interpreter.version == compiled_by or not stdlib.version.startswith(f"{self._pins.python}."):
            raise TreeError(
                f"compiled by {compiled_by}; the interpreter is {interpreter.version}, the stdlib {stdlib.version}"
            )
        self._write_bundle(self._recorded())

    def _write_bundle(self, recorded: bundling.Record) -> None:
        """Write the bundle and remove the files that it replaces, except our own: some run before it is opened."""
        own = self._lib / "telemetry_forwarder"
        for file in bundling.write(self._lib, recorded):
            # The folder itself may be a namespace package, and zips have no empty folders.
            if not file.is_relative_to(own) and len(list(file.parent.iterdir())) > 1:
                file.unlink()

    def _recorded(self) -> bundling.Record:
        """Return what the warm-up uses; for the other architecture, of the same tree built for this machine."""
        options = self._options
        if options.arch == options.native:
            self.recorded = bundling.record(self._lib, self._frozen(options.native))
            return self.recorded
        with tempfile.TemporaryDirectory() as folder:
            native_build = TreeBuilder(
                replace(options, arch=options.native), pins=self._pins, cache=self._cache, target=Path(folder)
            )
            native_build.build()
            return native_build.recorded

    def _place_relocatable_interpreter(self, python: RelocatablePython) -> None:
        if python.minor != self._pins.python:
            raise TreeError(
                f"the pinned packages are for Python {self._pins.python}, not {python.minor}:"
                " change PYTHON in layer/lock.py and run it"
            )
        python.place(self._root, self._trim)
        for folder in (self._lib, self._root / "python" / "lib" / f"python{python.minor}"):
            if self._options.arch == self._options.native:
                version = compiling.compile_tree_with(self._root / "python" / "bin" / "python3", folder)
            else:
                version = compiling.compile_tree(folder, self._frozen(self._options.native))
        if self._options.arch == self._options.native:
            # No interpreter of that release for the other architecture runs here. Without a bundle the start is slower.
            recorded = bundling.record_with(self._root / "python" / "bin" / "python3", self._lib)
            self._write_bundle(recorded)
        self._facts |= {"python": version, "stdlib": version}
        self._components.append(_cpython(version))

    def _frozen(self, arch: str) -> frozen.FrozenPython:
        pinned = self._pins.with_role("interpreter")
        wheel = fetch.wheels(pinned, arch=arch, python=self._pins.python, cache=self._cache)[0]
        return frozen.FrozenPython(wheel, arch)

    def _place_shared_libraries(self) -> set[str]:
        """Write zlib to lib/ under its soname; return what was written."""
        placed: set[str] = set()
        for pinned in self._pins.debs["library"][self._options.arch]:
            deb = fetch.deb(pinned, cache=self._cache)
            for soname, content in debian.shared_libraries(deb):
                (self._lib / soname).write_bytes(content)
                placed.add(soname)
            self._add_component(pinned, deb)
        return placed

    def _add_component(self, pinned: Deb, deb: Path) -> None:
        origin = next(origin for start, origin in _DEB_ORIGINS.items() if pinned.name.startswith(start))
        component = documents.of_deb(deb, name=pinned.name, version=pinned.version, origin=origin)
        # Of several packages of one source, only one contains the copyright file.
        if component.texts:
            self._components.append(component)

    def _place_stdlib(self, interpreter: frozen.FrozenPython) -> Stdlib:
        """Write the modules that are neither frozen into the executable nor omitted to lib/."""
        stdlib = fetch.stdlib(self._pins.stdlibs, cache=self._cache)
        prefix = f"usr/lib/python{self._pins.python}/"
        for pinned in stdlib.debs:
            deb = fetch.deb(pinned, cache=self._cache)
            for path, content in debian.files(deb):
                name = path.removeprefix(prefix)
                if name == path or not name.endswith(".py") or name.startswith("lib-dynload/"):
                    continue
                module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                if module in interpreter.built_in or self._trim.omits_from_stdlib(name):
                    continue
                (self._lib / name).parent.mkdir(parents=True, exist_ok=True)
                (self._lib / name).write_bytes(content)
            self._add_component(pinned, deb)
        return stdlib

    def _write_documents(self) -> None:
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        own = documents.Component(
            NAME,
            project["version"],
            f"pkg:generic/{NAME}@{project['version']}",
            "Apache-2.0",
            {"LICENSE": (PROJECT / "LICENSE").read_bytes()},
        )
        documents.write(
            self._root,
            name=NAME,
            version=project["version"],
            facts=self._facts,
            components=[own, *sorted(self._components, key=lambda component: component.name.lower())],
        )


def _cpython(version: str) -> documents.Component:
    text = (LAYER / "licences" / "python.txt").read_bytes()
    identifier = documents.cpe("python:python", version)
    # Scanners know the interpreter as `python`.
    purl = f"pkg:generic/python@{version}"
    return documents.Component("cpython", version, purl, "PSF-2.0", {"LICENSE": text}, cpe=identifier)
