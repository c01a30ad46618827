"""Assembles an `/opt`-like folder with the extension of this checkout: `python -m tests.support.opt_tree build/opt`.

The dependencies are copied from this interpreter's environment when their versions have changed, our own files when any
of them has. Concurrent runs share the folder: an unchanged one is not touched.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support import installed_packages
from tests.support.paths import PROJECT

DEFAULT = PROJECT / "build" / "opt"


def assemble(opt: Path = DEFAULT) -> Path:
    """Bring *opt* up to date with the checkout and return it."""
    opt.mkdir(parents=True, exist_ok=True)
    stamp = opt / ".sources"
    with (opt / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = _digest_of_sources()
        if not stamp.exists() or stamp.read_text() != sources:
            stamp.unlink(missing_ok=True)
            _assemble(opt)
            stamp.write_text(sources)
    return opt


def _assemble(opt: Path) -> None:
    lib = opt / "telemetry-forwarder" / "lib"
    _install_dependencies(lib)
    package = lib / "telemetry_forwarder"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(PROJECT / "telemetry_forwarder", package, ignore=shutil.ignore_patterns("__pycache__"))
    # As in the layer: with -B byte code is never written, and compiling would count as our start-up time.
    _run(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(package))
    # Imported here, because our tests also run inside a layer, without its recipe.
    from layer.recipe import bundling

    bundling.write(lib, bundling.record_with(Path(sys.executable), lib))
    _link_python(opt / "telemetry-forwarder" / "python" / "bin" / "python3")
    extensions = opt / "extensions"
    extensions.mkdir(parents=True, exist_ok=True)
    shutil.copy2(PROJECT / "extension" / "telemetry-forwarder", extensions / "telemetry-forwarder")


def _digest_of_sources() -> str:
    """Return a digest of everything that the folder is made from."""
    digest = hashlib.sha256(f"{sys.version} {Path(sys.executable).resolve()}".encode())
    digest.update((PROJECT / "pyproject.toml").read_bytes())
    for folder in ("telemetry_forwarder", "extension", "layer/recipe"):
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(PROJECT)).encode() + path.read_bytes())
    digest.update((PROJECT / "layer" / "trim.toml").read_bytes())
    return digest.hexdigest()


def _link_python(path: Path) -> None:
    """Make the tree use this Python, for which its byte code was compiled, instead of the one on the PATH."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(Path(sys.executable).resolve())


def _install_dependencies(lib: Path) -> None:
    dependencies = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    versions = installed_packages.versions(dependencies)
    wanted = hashlib.sha256(f"{sys.version} {versions}".encode()).hexdigest()
    stamp = lib / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(lib, ignore_errors=True)
    installed_packages.copy(versions, lib)
    from layer.recipe import trim

    # As in the layer; trim.toml contains the reasons.
    for name in trim.read(PROJECT / "layer" / "trim.toml").distributions:
        shutil.rmtree(lib / name)
    stamp.write_text(wanted)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    print(assemble(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT))
