"""The demo needs only the package and its extra `demo`: installing what the tests need takes minutes."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import pytest

from tests.support.paths import PROJECT

_PROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
_WANTED = [*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["demo"]]
# Imports what a run imports; the files that the standard input names do not exist for it.
_PROGRAM = """
import importlib.machinery, sys

class Finder:
    hidden = set(sys.stdin.read().splitlines())

    def find_spec(self, name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin in self.hidden:
            raise ModuleNotFoundError(f"{name} is not part of the extra", name=name)

sys.meta_path.insert(0, Finder())
import tests.demo.__main__, tests.demo.back_end, tests.demo.events, tests.demo.page, tests.demo.run, tests.demo.terminal
from layer.recipe import bundling, trim
from tests.support import opt_tree
"""


def imports(wanted: list[str]) -> "subprocess.CompletedProcess[str]":
    """Import what the demo imports, where nothing is installed but *wanted* and what that requires."""
    names = {name for requirement in wanted for name in requirements(_name(requirement))}
    hidden = [file for name, files in installed().items() if name not in names for file in files]
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=PROJECT, input="\n".join(hidden), capture_output=True, text=True
    )


@cache
def installed() -> dict[str, list[str]]:
    """Return the Python files and C modules of every installed distribution, by name."""
    return {
        _normal(distribution.name): [
            str(distribution.locate_file(file)) for file in distribution.files or () if file.suffix in {".py", ".so"}
        ]
        for distribution in importlib.metadata.distributions()
    }


def requirements(name: str) -> Iterator[str]:
    """Yield *name* and everything it requires on this machine without an extra."""
    yield _normal(name)
    # What another Python needs is not installed here.
    with suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires(name) or ():
            if "extra ==" not in requirement:
                yield from requirements(_name(requirement))


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_extra_has_everything_that_the_demo_imports() -> None:
    done = imports(_WANTED)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("missing", ["httpx", "orjson", "opentelemetry-exporter-otlp-proto-common"])
def test_package_that_is_missing_is_found(missing: str) -> None:
    done = imports([requirement for requirement in _WANTED if _name(requirement) != missing])

    assert "is not part of the extra" in done.stderr
