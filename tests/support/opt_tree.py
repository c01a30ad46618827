"""Assembles an `/opt`-like folder with the extension of this checkout: `python -m tests.support.opt_tree build/opt`.

The dependencies are installed once for each content of pyproject.toml, our own files each time.
"""

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.paths import PROJECT

ROOT = PROJECT
DEFAULT = ROOT / "build" / "opt"


def assemble(opt: Path = DEFAULT) -> Path:
    """Bring *opt* up to date with the checkout and give it back. Installs from the package index when it must."""
    lib = opt / "telemetry-forwarder" / "lib"
    _install_dependencies(lib)
    package = lib / "telemetry_forwarder"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "telemetry_forwarder", package, ignore=shutil.ignore_patterns("__pycache__"))
    # As in the layer: -B never writes them, and compiling at each start would be measured as ours.
    _run(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(package))
    # Here, because inside a layer, where our tests run as well, there is no recipe for one.
    from layer.recipe import bundling

    bundling.write(lib, bundling.record_with(Path(sys.executable), lib))
    _bring_python(opt / "telemetry-forwarder" / "python" / "bin" / "python3")
    extensions = opt / "extensions"
    extensions.mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / "extension" / "telemetry-forwarder", extensions / "telemetry-forwarder")
    return opt


def _bring_python(place: Path) -> None:
    """Let it run on this Python, for which it was made, and not on whichever is on the PATH."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(Path(sys.executable).resolve())


def _install_dependencies(lib: Path) -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = hashlib.sha256(f"{sys.version} {dependencies}".encode()).hexdigest()
    stamp = lib / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(lib, ignore_errors=True)
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(lib), *dependencies)
    from layer.recipe import trim

    # As in the layer, which says why.
    for name in trim.read(ROOT / "layer" / "trim.toml").distributions:
        shutil.rmtree(lib / name)
    stamp.write_text(wanted)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    print(assemble(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT))
