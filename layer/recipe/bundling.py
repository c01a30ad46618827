"""Makes the bundle of a tree: what its warm-up imports, in one file. `telemetry_forwarder/startup/bundle.py` reads it.

What belongs into it is recorded by warming up once, in the interpreter that will read it.
"""

import importlib.util
import marshal
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .frozen import FrozenPython

_FILE_NAME = "warm-up.bundle"
_SIGNATURE = "telemetry-forwarder bundle 1 {:08x}\n"
_SIZE_BYTES = 8
_PYC_HEADER_BYTES = 16
# Older than references between objects: those depend on who else holds an object, and every build is to be the same.
_MARSHAL = 2

# Imported by others for what we never ask of them: loaded when somebody touches them.
# `telemetry_forwarder/startup/lazy_modules.py` does it. To the 276 million instructions of a warm-up python_message
# would add 24,
# ssl 22, inspect 18, subprocess 10, traceback 9, calendar and ipaddress 4 each, the others 2.
DEFERRED = frozenset(
    {
        "calendar",
        "concurrent.futures",
        "google.protobuf.internal.python_message",
        "inspect",
        "ipaddress",
        "selectors",
        "ssl",
        "subprocess",
        "traceback",
    }
)

# Runs inside the interpreter. What it writes: the version, the names of all modules, and as bytes the tables of
# generated code, of compiled patterns and of signatures.
PROGRAM = f"""
import marshal
import sys
from re import _compiler


class Patterns:
    # In the place of `_sre` inside `re._compiler`: sees what is handed to the C code at the end.

    def __init__(self):
        self.compiled = {{}}
        self.asked = None
        self.sre, _compiler._sre = _compiler._sre, self
        self.compile_text, _compiler.compile = _compiler.compile, self.ask

    def __getattr__(self, name):
        return getattr(self.sre, name)

    def ask(self, pattern, flags=0):
        self.asked = (pattern, int(flags)) if isinstance(pattern, (str, bytes)) else None
        return self.compile_text(pattern, flags)

    def compile(self, pattern, flags, code, groups, numbers, names):
        if self.asked:
            plain = [int(word) for word in code]
            self.compiled[self.asked] = (int(flags), plain, groups, dict(numbers), tuple(names))
        return self.sre.compile(pattern, flags, code, groups, numbers, names)


def recorded(run, mode, texts):
    def execute(text, *namespaces):
        if isinstance(text, str):
            texts[text] = compile(text, "<string>", mode, dont_inherit=True)
        return run(text, *namespaces)
    return execute


class Lazily:
    # Leaves out what nobody touches, and all that only it would import.

    def find_spec(name, path=None, target=None):
        if name not in {sorted(DEFERRED)}:
            return None
        others = [finder for finder in sys.meta_path if finder is not Lazily]
        spec = next(filter(None, (finder.find_spec(name, path) for finder in others)), None)
        if spec is not None:
            from telemetry_forwarder.startup.lazy_modules import defer
            defer(spec)
        return spec


def recorded_signatures(known):
    import inspect
    signature = inspect.signature
    def ask(of, **options):
        found = signature(of, **options)
        if not options:
            known[of.__module__, of.__qualname__] = (str(found), tuple(found.parameters))
        return found
    inspect.signature = ask


def record(output):
    sys.meta_path.insert(0, Lazily)
    patterns, texts, signatures = Patterns(), {{}}, {{}}
    import collections
    import dataclasses
    dataclasses.exec, collections.eval = recorded(exec, "exec", texts), recorded(eval, "eval", texts)
    recorded_signatures(signatures)
    from telemetry_forwarder.startup.warm_up import ASSEMBLY, THREADS, THROUGH_PROXIES
    for name in THREADS + ASSEMBLY + THROUGH_PROXIES:
        __import__(name)
    tables = [dict(sorted(table.items(), key=repr)) for table in (texts, patterns.compiled, signatures)]
    with open(output, "wb") as file:
        marshal.dump((sys.hexversion, sorted(sys.modules), marshal.dumps(tables, {_MARSHAL})), file, {_MARSHAL})
"""
_START = "def run(name):\n    record(sys.argv[1])\n"

Record = tuple[int, list[str], bytes]


class BundleError(Exception):
    """The tree does not warm up."""


def record(lib: Path, interpreter: FrozenPython) -> Record:
    """What the warm-up of the tree with *lib* uses, by the frozen interpreter that it is for."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(lib, root / "lib")
        executable = interpreter.place_executable(root, "recorder")
        (root / "lib" / "__init__recorder.py").write_text(PROGRAM + _START)
        return _record([str(executable)])


def record_with(python: Path, lib: Path) -> Record:
    """The same by an ordinary interpreter."""
    start = f"import sys; sys.path.insert(0, {str(lib)!r})\n{PROGRAM}{_START}run('')"
    return _record([str(python), "-I", "-S", "-B", "-c", start])


def write(lib: Path, found: Record) -> list[Path]:
    """Write the bundle of the tree with *lib*: of the recorded modules, those whose byte code lies in it.

    Returns the files that hold the same byte code.
    """
    version, names, tables = found
    modules: dict[str, tuple[str, bool, int, int]] = {}
    code, files = bytearray(), []
    for name in names:
        if (place := _place(lib.joinpath(*name.split(".")))) is not None:
            origin, is_package, byte_code = place
            content = byte_code.read_bytes()[_PYC_HEADER_BYTES:]
            modules[name] = (origin.relative_to(lib).as_posix(), is_package, len(code), len(content))
            code += content
            files.append(byte_code)
    # As a tuple that is sorted: a set has another order in each process.
    index = marshal.dumps((modules, tuple(sorted(DEFERRED))), _MARSHAL)
    sizes = (len(index).to_bytes(_SIZE_BYTES, "little"), len(tables).to_bytes(_SIZE_BYTES, "little"))
    (lib / _FILE_NAME).write_bytes(
        b"".join((_SIGNATURE.format(version).encode(), *sizes, index, tables, code))
    )
    return files


def _place(path: Path) -> tuple[Path, bool, Path] | None:
    """File of the module at *path*, whether it is a package, and where its byte code is."""
    for stem, is_package in ((path / "__init__", True), (path, False)):
        alone, source = stem.with_name(f"{stem.name}.pyc"), stem.with_name(f"{stem.name}.py")
        if alone.exists():
            return alone, is_package, alone
        if source.exists():
            return source, is_package, Path(importlib.util.cache_from_source(str(source)))
    return None


def _record(command: list[str]) -> Record:
    with tempfile.NamedTemporaryFile() as output:
        done = subprocess.run([*command, output.name], capture_output=True, text=True, check=False, env={})
        if done.returncode:
            raise BundleError(done.stderr.strip())
        found: Any = marshal.loads(output.read())
    version, names, tables = found
    return version, names, tables
