"""`./build.sh lock`: writes requirements.lock, the version and hashes of every package that build.sh installs.

A group has the packages that it adds to the groups above it. The versions hold on every supported Python and on both
architectures. The package's own dependencies have the versions that the layer ships: those of `layer/lock.toml`.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from tests.support.paths import LAYER, PROJECT

LOCK = Path(__file__).with_name("requirements.lock")
# Group -> extras of pyproject.toml that it consists of. `./build.sh install` takes these names.
GROUPS = {
    "package": (),
    "demo": ("demo",),
    "test": ("test",),
    "layer": ("layer",),
    "fuzz": ("fuzz",),
    "lock": ("lock",),
}
_HEADER = """\
# Every package that build.sh installs, by group. Written by ./build.sh lock; do not edit by hand.
"""
# A package's line, and its hashes.
_ENTRY = re.compile(r"^[\w.-]+==.*(?:\n +--hash=.*)+", re.MULTILINE)


def main() -> None:
    shipped = tomllib.loads((LAYER / "lock.toml").read_text())["wheel"]
    constraints = "".join(f"{wheel['name']}=={wheel['version']}\n" for wheel in shipped if wheel["role"] == "library")
    print("resolving all groups", flush=True)
    everything = _resolve([extra for extras in GROUPS.values() for extra in extras], constraints)
    text, listed = _HEADER, set[str]()
    for group, extras in GROUPS.items():
        print(f"resolving {group}", flush=True)
        entries = _ENTRY.findall(_resolve(extras, everything))
        # A package that an earlier group needs on some systems only is listed again.
        added = [entry for entry in entries if entry not in listed and "'win32'" not in entry]
        listed |= set(added)
        text += "\n".join([f"\n# group: {group}", *added, ""])
    LOCK.write_text(text)
    print(f"wrote {LOCK.relative_to(PROJECT)}: {len(listed)} packages")


def _resolve(extras: list[str] | tuple[str, ...], constraints: str) -> str:
    """Return requirements with hashes, for every Python from the oldest supported one on; only what has wheels."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text(constraints)
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--no-config"]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--only-binary", ":all:"]
        command += ["--no-header", "--no-annotate", "--constraints", str(file)]
        command += [word for extra in extras for word in ("--extra", extra)]
        done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
