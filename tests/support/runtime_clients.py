"""Runtime interface clients from PyPI and npm, as commands that the name of a handler completes.

What is not installed is downloaded once, into `build`.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.conformance.requirements import CACHE, make_once, pip
from tests.support.paths import TESTS

Command = list[str]

# The last client without `tenant_id`; those before 3.1 print `LAMBDA_WARNING`. Without a wheel it would be compiled.
_OLD = {(3, 11): "2.2.1", (3, 12): "2.2.1", (3, 13): "3.0.0"}
_OLDEST_NODE = 20
_SUBSTITUTE = TESTS / "support" / "rapid_client.cjs"


class MissingClientError(Exception):
    """Why a client cannot run on this machine."""


def python() -> Command:
    """Return the command of the newest client for Python, which the tests install."""
    return [sys.executable, "-m", "awslambdaric"]


@cache
def old_python() -> Command:
    """Return the command of a client for Python before 3.1."""
    version = _OLD.get(sys.version_info[:2])
    if version is None:
        raise MissingClientError(
            f"awslambdaric before 3.1 has no wheel for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    folder = CACHE / f"awslambdaric-{version}-{sys.implementation.cache_tag}-{os.uname().machine}"
    wanted = ["--only-binary", ":all:", f"awslambdaric=={version}", "simplejson>=3.18,<5"]
    if not folder.exists():
        make_once(folder, lambda target: pip("install", "--target", str(target), *wanted))
    return ["/usr/bin/env", f"PYTHONPATH={folder}", *python()]


def node() -> Command:
    """Return the command of version 3 of the client for Node.js."""
    return _node("3.3.0", "bin/index.mjs", native="dist/rapid-client.node")


def new_node() -> Command:
    """Return the command of version 4 of the client for Node.js."""
    return _node("4.0.2", "index.mjs", native="rapid-client.node")


@cache
def _node(version: str, main: str, *, native: str) -> Command:
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        raise MissingClientError("Node.js and npm are not installed")
    found = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if int(found.removeprefix("v").partition(".")[0]) < _OLDEST_NODE:
        raise MissingClientError(f"Node.js {found} is too old for its runtime client")
    folder = CACHE / f"aws-lambda-ric-{version}"
    if not folder.exists():
        make_once(folder, lambda target: _download(npm, version, target))
    (folder / "package" / native).touch()
    return [program, "--require", str(_SUBSTITUTE), str(folder / "package" / main)]


def _download(npm: str, version: str, target: Path) -> None:
    target.mkdir()
    command = [npm, "pack", "--pack-destination", str(target), f"aws-lambda-ric@{version}"]
    packed = subprocess.run(command, check=False, capture_output=True, text=True)
    if packed.returncode:
        raise MissingClientError(f"npm cannot download Node.js's runtime client: {packed.stderr.strip()}")
    [archive] = target.glob("*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")


CLIENTS: dict[str, Callable[[], Command]] = {
    "python": python,
    "old-python": old_python,
    "node": node,
    "new-node": new_node,
}
