"""What `layer/trim.toml` leaves out of the layer."""

import fnmatch
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trim:
    """Patterns of what stays behind: of the stdlib, C modules, parts of packages; names of distributions."""

    stdlib: tuple[str, ...]
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    distributions: tuple[str, ...]

    def leaves_out_of_stdlib(self, name: str) -> bool:
        """Whether *name*, a path inside the standard library, or a folder above it, is left out."""
        parts = name.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        return any(_matches(path, self.stdlib) for path in above)

    def leaves_out_module(self, name: str) -> bool:
        return _matches(name, self.modules)

    def leaves_out_of_package(self, name: str) -> bool:
        parts = name.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        return any(_matches(path, self.packages) for path in above)


def read(path: Path) -> Trim:
    table = tomllib.loads(path.read_text())
    left_out = table["left_out"]
    return Trim(
        stdlib=tuple(pattern for entry in left_out for pattern in entry.get("stdlib", ())),
        modules=tuple(pattern for entry in left_out for pattern in entry.get("modules", ())),
        packages=tuple(pattern for entry in left_out for pattern in entry.get("packages", ())),
        distributions=tuple(entry["name"] for entry in table["not_shipped"]),
    )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
