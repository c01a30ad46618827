"""Reads `layer/lock.toml`, which pins every third-party file of the layer by version and SHA-256."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHES = ("x86_64", "arm64")


@dataclass(frozen=True, slots=True)
class Wheel:
    """One distribution of PyPI; *sha256* by architecture, or under "any"."""

    name: str
    version: str
    role: str
    sha256: dict[str, str]

    def hash_for(self, arch: str) -> str:
        return self.sha256.get(arch) or self.sha256["any"]


@dataclass(frozen=True, slots=True)
class Deb:
    """One Debian package. SHA-1 is only its name on snapshot.debian.org."""

    name: str
    version: str
    path: str
    sha256: str
    sha1: str


@dataclass(frozen=True, slots=True)
class Stdlib:
    """One version of the standard library's sources, as the Debian packages that contain them."""

    version: str
    debs: tuple[Deb, ...]


@dataclass(frozen=True, slots=True)
class Pins:
    """*stdlibs* are in order of preference; *debs* by role (library, test) and architecture."""

    python: str
    wheels: tuple[Wheel, ...]
    stdlibs: tuple[Stdlib, ...]
    debs: dict[str, dict[str, tuple[Deb, ...]]]

    def with_role(self, *roles: str) -> tuple[Wheel, ...]:
        return tuple(wheel for wheel in self.wheels if wheel.role in roles)


def read(path: Path) -> Pins:
    table = tomllib.loads(path.read_text())
    debs: dict[str, dict[str, tuple[Deb, ...]]] = {}
    for entry in table["deb"]:
        by_arch = debs.setdefault(entry["role"], {})
        by_arch[entry["arch"]] = (*by_arch.get(entry["arch"], ()), _deb(entry))
    return Pins(
        python=table["python"],
        wheels=tuple(Wheel(**entry) for entry in table["wheel"]),
        stdlibs=tuple(Stdlib(entry["version"], tuple(_deb(deb) for deb in entry["deb"])) for entry in table["stdlib"]),
        debs=debs,
    )


def _deb(entry: dict[str, Any]) -> Deb:
    return Deb(entry["name"], entry["version"], entry["path"], entry["sha256"], entry["sha1"])
