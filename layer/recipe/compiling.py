"""Compiles a tree of sources to byte code with the interpreter that will read it.

The byte code contains the unchecked hash of its source, so it is never compared with a source or written again.
"""

import subprocess
import tempfile
from pathlib import Path

from .frozen import EXECUTABLE, FrozenPython

# Runs inside the interpreter of the layer, so it may only use modules that are frozen into it: there is no stdlib.
PROGRAM = '''
from _frozen_importlib_external import MAGIC_NUMBER, _code_to_hash_pyc
from _imp import source_hash


def without_columns(code):
    """Keep the line of each instruction and drop the columns, which tracebacks show only if there are sources.

    The two kinds of entry are those that the compiler writes with -X no_debug_ranges.
    https://github.com/python/cpython/blob/3.13/InternalDocs/locations.md
    """
    table, previous = bytearray(), code.co_firstlineno
    for start, end, line in code.co_lines():
        units = (end - start) // 2
        while units:
            entry_units = min(units, 8)
            units -= entry_units
            if line is None:
                table.append(0x80 | 15 << 3 | entry_units - 1)
                continue
            table.append(0x80 | 13 << 3 | entry_units - 1)
            table += signed(line - previous)
            previous = line
    consts = tuple(without_columns(c) if isinstance(c, type(code)) else c for c in code.co_consts)
    return code.replace(co_linetable=bytes(table), co_consts=consts)


def signed(number):
    rest, chunks = (-number << 1 | 1) if number < 0 else number << 1, bytearray()
    while rest > 63:
        chunks.append(64 | rest & 63)
        rest >>= 6
    chunks.append(rest)
    return chunks


def compile_tree(root, names):
    for name in names:
        with open(f"{root}/{name}", "rb") as file:
            source = file.read()
        # Tracebacks show the path inside lib/, which does not depend on where the layer was built. Optimized: without
        # docstrings and assertions.
        code = without_columns(compile(source, name, "exec", dont_inherit=True, optimize=2))
        key = source_hash(int.from_bytes(MAGIC_NUMBER, "little"), source)
        with open(f"{root}/{name}c", "wb") as file:
            file.write(_code_to_hash_pyc(code, key, False))
'''
_RUN = """
def run(name):
    import sys
    with open(sys.argv[2]) as file:
        compile_tree(sys.argv[1], file.read().splitlines())
    print(sys.version.split()[0])
"""


class CompileError(Exception):
    """The interpreter could not compile a source, or does not run here."""


def compile_tree(root: Path, interpreter: FrozenPython) -> str:
    """Replace every .py under *root* by a .pyc; return the version of the interpreter that compiled it."""
    with tempfile.TemporaryDirectory() as folder:
        executable = interpreter.place_executable(Path(folder))
        (Path(folder) / "lib").mkdir()
        (Path(folder) / "lib" / f"__init__{EXECUTABLE}.py").write_text(PROGRAM + _RUN)
        return _run([str(executable)], root)


def compile_tree_with(python: Path, root: Path) -> str:
    """Do the same with an ordinary interpreter."""
    return _run([str(python), "-I", "-S", "-B", "-c", f'{PROGRAM}{_RUN}run("")'], root)


def _run(command: list[str], root: Path) -> str:
    # Sorted, because marshal writes references to earlier constants: the order affects the bytes.
    sources = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    with tempfile.NamedTemporaryFile("w") as listing:
        listing.write("\n".join(sources))
        listing.flush()
        done = subprocess.run([*command, str(root), listing.name], capture_output=True, text=True, check=False, env={})
    if done.returncode:
        raise CompileError(done.stderr.strip())
    for source in sources:
        (root / source).unlink()
    return done.stdout.strip()
