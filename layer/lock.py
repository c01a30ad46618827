#!/usr/bin/env python3
"""Rewrites layer/lock.toml: the newest versions that pyproject.toml allows, each with its hashes.

python3 layer/lock.py            # then review `git diff layer/lock.toml` and build
"""

import hashlib
import json
import lzma
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

# This file runs as a script: its folder is on the path instead of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from layer.recipe import fetch
from layer.recipe.pins import ARCHES

PYTHON = "3.13"
_LAYER = Path(__file__).resolve().parent
_DEBIAN = fetch.debian_mirrors()[0].removesuffix("/{path}")
_DEBIAN_ARCHES = {"x86_64": "amd64", "arm64": "arm64"}
# Suites with a stdlib of the interpreter's minor version. Sid is closest but removes old versions first.
_STDLIB_SUITES = ("sid", "testing", "trixie")
_STDLIB_PACKAGES = (f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib")
# Role, suite and name. Shipped packages are from the newest suite whose builds need no glibc above 2.26.
_DEBS = (
    ("library", "trixie", "zlib1g"),
    # Not shipped: the old glibc and the shell that the layer is tested with.
    ("test", "bullseye", "libc6"),
    ("test", "bullseye", "dash"),
    ("test", "bullseye", "bash"),
    ("test", "bullseye", "libtinfo6"),
)
_HEADER = """\
# Every third-party file of the layer. Written by layer/lock.py; do not edit by hand.
# Wheels are from PyPI, the rest from Debian's mirrors.
"""


def main() -> None:
    project = tomllib.loads((_LAYER.parent / "pyproject.toml").read_text())["project"]
    roles = {"interpreter": ["freeze-core"], "library": project["dependencies"]}
    text = [_HEADER, f'python = "{PYTHON}"\n', *_wheels(roles)]
    text += _stdlibs(_interpreter_version())
    text += _debs()
    (_LAYER / "lock.toml").write_text("".join(text))


def _wheels(roles: dict[str, list[str]]) -> Iterator[str]:
    listed: set[str] = set()
    for role, requirements in roles.items():
        by_arch = {arch: _resolve(requirements, arch) for arch in ARCHES}
        for name in sorted(by_arch["x86_64"]):
            if name in listed:
                continue
            if role == "interpreter" and name != "freeze-core":
                continue
            listed.add(name)
            (version, first), (_, second) = by_arch["x86_64"][name], by_arch["arm64"][name]
            hashes = f'any = "{first}"' if first == second else f'x86_64 = "{first}", arm64 = "{second}"'
            yield f'\n[[wheel]]\nname = "{name}"\nversion = "{version}"\nrole = "{role}"\n'
            yield f"sha256 = {{ {hashes} }}\n"


def _resolve(requirements: list[str], arch: str) -> dict[str, tuple[str, str]]:
    """Return name -> (version, sha256) of *requirements* and their dependencies."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        target = [*fetch.pip_target(arch, PYTHON), "--target", folder, "--report", str(report)]
        subprocess.run([*pip, *target, *requirements], check=True)
        installs = json.loads(report.read_text())["install"]
    return {
        entry["metadata"]["name"]: (
            entry["metadata"]["version"],
            entry["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for entry in installs
    }


def _interpreter_version() -> tuple[int, ...]:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, *fetch.pip_target("x86_64", PYTHON), "freeze-core"], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            name = next(name for name in wheel.namelist() if "/frozen/" in name and name.endswith(".json"))
            return _version(json.loads(wheel.read(name))["__version__"].split()[0])


def _stdlibs(interpreter: tuple[int, ...]) -> Iterator[str]:
    """Yield the stdlibs, the closest patch release first."""
    by_version: dict[tuple[int, ...], str] = {}
    for suite in _STDLIB_SUITES:
        index = _index(suite, "amd64")
        packages = [index[name] for name in _STDLIB_PACKAGES if name in index]
        if len(packages) == len(_STDLIB_PACKAGES):
            version = packages[0]["Version"].split("-")[0]
            debs = "".join(f"\n[[stdlib.deb]]\n{_deb(package)}" for package in packages)
            by_version[_version(version)] = f'\n[[stdlib]]\nversion = "{version}"\n{debs}'
    for version_numbers in sorted(by_version, key=lambda numbers: abs(numbers[2] - interpreter[2])):
        yield by_version[version_numbers]


def _debs() -> Iterator[str]:
    for role, suite, name in _DEBS:
        for arch in ARCHES:
            package = _index(suite, _DEBIAN_ARCHES[arch])[name]
            yield f'\n[[deb]]\nrole = "{role}"\narch = "{arch}"\n{_deb(package)}'


def _index(suite: str, arch: str) -> dict[str, dict[str, str]]:
    compressed = _get(f"{_DEBIAN}/dists/{suite}/main/binary-{arch}/Packages.xz")
    paragraphs = lzma.decompress(compressed).decode().split("\n\n")
    fields = (dict(_fields(paragraph)) for paragraph in paragraphs if paragraph.strip())
    return {package["Package"]: package for package in fields}


def _fields(paragraph: str) -> Iterator[tuple[str, str]]:
    for line in paragraph.splitlines():
        name, colon, value = line.partition(": ")
        if colon and not line.startswith(" "):
            yield name, value


def _deb(package: dict[str, str]) -> str:
    content = _get(f"{_DEBIAN}/{package['Filename']}")
    if hashlib.sha256(content).hexdigest() != package["SHA256"]:
        raise SystemExit(f"{package['Filename']} does not match the hash in Debian's index")
    fields = {
        "name": package["Package"],
        "version": package["Version"],
        "path": package["Filename"],
        "sha256": package["SHA256"],
        "sha1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
    }
    return "".join(f'{key} = "{value}"\n' for key, value in fields.items())


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=120) as response:
        content: bytes = response.read()
    return content


def _version(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


if __name__ == "__main__":
    main()
