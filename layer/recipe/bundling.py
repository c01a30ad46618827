"""Writes the bundle of a tree: everything that its warm-up imports, in one file.

The content is recorded by running the warm-up once, in the interpreter that will read the bundle.
`telemetry_forwarder/startup/bundle.py` reads it.
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
# A version without references between objects: these depend on reference counts, and builds must be reproducible.
_MARSHAL = 2

# Libraries import these, and our process often does not need them: `telemetry_forwarder/startup/lazy_modules.py` loads
# them on first use.
LAZY_MODULES = frozenset(
    {
        "calendar",
        "concurrent.futures",
        "google.protobuf.internal.python_message",
        "inspect",
        "ipaddress",
        "opentelemetry.metrics",
        "random",
        "socket",
        "ssl",
        "subprocess",
        "traceback",
        "typing_extensions",
    }
)

# Runs inside the interpreter. Writes the version, the names of all modules, and as bytes the tables of generated code,
# compiled patterns and signatures.
PROGRAM = f"""
import marshal
import sys
from re import _compiler


class Patterns:
    # Replaces `_sre` in `re._compiler`: records the arguments of the C code that ends each compilation.

    def __init__(self):
        self.compiled = {{}}
        self.key = None
        self.sre, _compiler._sre = _compiler._sre, self
        self.compile_pattern, _compiler.compile = _compiler.compile, self.record_key

    def __getattr__(self, name):
        return getattr(self.sre, name)

    def record_key(self, pattern, flags=0):
        self.key = (pattern, int(flags)) if isinstance(pattern, (str, bytes)) else None
        return self.compile_pattern(pattern, flags)

    def compile(self, pattern, flags, code, groups, numbers, names):
        if self.key:
            words = [int(word) for word in code]
            self.compiled[self.key] = (int(flags), words, groups, dict(numbers), tuple(names))
        return self.sre.compile(pattern, flags, code, groups, numbers, names)


def recording(run, mode, texts):
    def record_and_run(text, *namespaces):
        if isinstance(text, str):
            texts[text] = compile(text, "<string>", mode, dont_inherit=True)
        return run(text, *namespaces)
    return record_and_run


class LazyFinder:
    # Makes the same modules lazy, so that nothing is recorded that only they import.

    def find_spec(name, path=None, target=None):
        if name not in {sorted(LAZY_MODULES)}:
            return None
        others = [finder for finder in sys.meta_path if finder is not LazyFinder]
        spec = next(filter(None, (finder.find_spec(name, path) for finder in others)), None)
        if spec is not None:
            from telemetry_forwarder.startup.lazy_modules import make_lazy
            make_lazy(spec)
        return spec


def record_signatures(known):
    import inspect
    signature = inspect.signature
    def record_and_return(of, **options):
        found = signature(of, **options)
        if not options:
            known[of.__module__, of.__qualname__] = (str(found), tuple(found.parameters))
        return found
    inspect.signature = record_and_return


def record(output):
    sys.meta_path.insert(0, LazyFinder)
    patterns, texts, signatures = Patterns(), {{}}, {{}}
    import collections
    import dataclasses
    import typing
    dataclasses.exec, collections.eval = recording(exec, "exec", texts), recording(eval, "eval", texts)
    typing.compile = recording(compile, "eval", texts)
    record_signatures(signatures)
    from telemetry_forwarder.startup import sdk_stub
    sdk_stub.install()
    from telemetry_forwarder.startup.warm_up import GRPC_MODULES, PROXY_MODULES, THREAD_MODULES, WORKER_MODULES
    for name in THREAD_MODULES + WORKER_MODULES + PROXY_MODULES + GRPC_MODULES:
        __import__(name)
    tables = [dict(sorted(table.items(), key=repr)) for table in (texts, patterns.compiled, signatures)]
    with open(output, "wb") as file:
        marshal.dump((sys.hexversion, sorted(sys.modules), marshal.dumps(tables, {_MARSHAL})), file, {_MARSHAL})
"""
_START = "def run(name):\n    record(sys.argv[1])\n"

Record = tuple[int, list[str], bytes]


class BundleError(Exception):
    """The warm-up of the tree failed."""


def record(lib: Path, interpreter: FrozenPython) -> Record:
    """Return what the warm-up of *lib* uses, recorded with the frozen interpreter that ships."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(lib, root / "lib")
        executable = interpreter.place_executable(root, "recorder")
        (root / "lib" / "__init__recorder.py").write_text(PROGRAM + _START)
        return _record([str(executable)])


def record_with(python: Path, lib: Path) -> Record:
    """Return the same, recorded with an ordinary interpreter."""
    start = f"import sys; sys.path.insert(0, {str(lib)!r})\n{PROGRAM}{_START}run('')"
    return _record([str(python), "-I", "-S", "-B", "-c", start])


def write(lib: Path, recorded: Record) -> list[Path]:
    """Write the bundle of *lib*, with those recorded modules whose byte code it contains.

    Return the files whose byte code is now in the bundle.
    """
    version, names, tables = recorded
    modules: dict[str, tuple[str, bool, int, int]] = {}
    code, files = bytearray(), []
    for name in names:
        if (found := _find(lib.joinpath(*name.split(".")))) is not None:
            origin, is_package, byte_code = found
            content = byte_code.read_bytes()[_PYC_HEADER_BYTES:]
            modules[name] = (origin.relative_to(lib).as_posix(), is_package, len(code), len(content))
            code += content
            files.append(byte_code)
    # A sorted tuple: the order of a set differs between processes.
    index = marshal.dumps((modules, tuple(sorted(LAZY_MODULES))), _MARSHAL)
    sizes = (len(index).to_bytes(_SIZE_BYTES, "little"), len(tables).to_bytes(_SIZE_BYTES, "little"))
    (lib / _FILE_NAME).write_bytes(b"".join((_SIGNATURE.format(version).encode(), *sizes, index, tables, code)))
    return files


def _find(path: Path) -> tuple[Path, bool, Path] | None:
    """Return the file of the module at *path*, whether it is a package, and the file of its byte code."""
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
        recorded: Any = marshal.loads(output.read())
    version, names, tables = recorded
    return version, names, tables
