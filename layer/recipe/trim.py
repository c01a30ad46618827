"""Reads `layer/trim.toml`, which lists what the layer omits."""

import fnmatch
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trim:
    """Patterns of omitted stdlib files, C modules and package files, and names of omitted distributions."""

    stdlib: tuple[str, ...]
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    distributions: tuple[str, ...]

    def omits_from_stdlib(self, name: str) -> bool:
        """Return whether *name*, a path inside the standard library, or a parent folder, is omitted."""
        return any(_matches(path, self.stdlib) for path in _with_parents(name))

    def omits_module(self, name: str) -> bool:
        return _matches(name, self.modules)

    def omits_from_package(self, name: str) -> bool:
        return any(_matches(path, self.packages) for path in _with_parents(name))


def read(path: Path) -> Trim:
    table = tomllib.loads(path.read_text())
    omitted = table["omitted"]
    return Trim(
        stdlib=tuple(pattern for entry in omitted for pattern in entry.get("stdlib", ())),
        modules=tuple(pattern for entry in omitted for pattern in entry.get("modules", ())),
        packages=tuple(pattern for entry in omitted for pattern in entry.get("packages", ())),
        distributions=tuple(entry["name"] for entry in table["not_shipped"]),
    )


def _with_parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
