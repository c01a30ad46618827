"""requirements.lock has what pyproject.toml asks for, in versions with hashes, for every supported Python."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.setup.lock import GROUPS, LOCK
from tests.support.paths import LAYER, PROJECT

_PROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
# Group -> its requirements, each followed by its hashes.
_SECTIONS = dict(re.findall(r"^# group: (\w+)\n(.*?)(?=^# group|\Z)", LOCK.read_text(), re.MULTILINE | re.DOTALL))
_SECTIONS = {group: re.findall(r"^([\w.-]+==.*?) *\\\n((?: +--hash=.*\n?)+)", text, re.MULTILINE)
             for group, text in _SECTIONS.items()}  # fmt: skip
_LOCKED = {group: [Requirement(line) for line, _ in entries] for group, entries in _SECTIONS.items()}
_EVERY_PYTHON = [
    {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.2", "platform_machine": machine}
    for minor in (11, 12, 13, 14)
    for machine in ("x86_64", "aarch64")
]


def test_groups_are_those_that_build_script_selects() -> None:
    assert list(_LOCKED) == list(GROUPS)
    assert min(map(len, _LOCKED.values())) > 0


def test_every_line_has_hashes_and_no_address() -> None:
    text = LOCK.read_text()

    lines = re.findall(r"^\S+==", text, re.MULTILINE)

    assert len(lines) == sum(map(len, _LOCKED.values()))
    assert all(
        re.search(r"--hash=sha256:[0-9a-f]{64}\b", hashes) for entries in _SECTIONS.values() for _, hashes in entries
    )
    assert "://" not in text


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("environment", _EVERY_PYTHON, ids=lambda each: " ".join(each.values()))
def test_requirements_of_the_project_are_locked_once(group: str, environment: dict[str, str]) -> None:
    optional = _PROJECT["optional-dependencies"]
    wanted = [line for extra in GROUPS[group] for line in optional[extra]] or _PROJECT["dependencies"]
    names = list(GROUPS)
    # build.sh installs the first three in this order, and one of the others after them.
    available = [*names[: min(names.index(group), 2) + 1], *([group] if names.index(group) > 2 else [])]
    locked = [each for name in available for each in _LOCKED[name] if _applies(each, environment)]

    for requirement in map(Requirement, wanted):
        if requirement.name == _PROJECT["name"] or not _applies(requirement, environment):
            continue
        versions = {
            _version(each) for each in locked if canonicalize_name(each.name) == canonicalize_name(requirement.name)
        }
        assert len(versions) == 1, requirement
        assert requirement.specifier.contains(versions.pop(), prereleases=True), requirement


def _applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def _version(requirement: Requirement) -> str:
    [only] = requirement.specifier
    return only.version


def test_package_is_tested_with_the_versions_that_the_layer_ships() -> None:
    wheels = tomllib.loads((LAYER / "lock.toml").read_text())["wheel"]

    shipped = {wheel["name"]: wheel["version"] for wheel in wheels if wheel["role"] == "library"}

    assert {each.name: _version(each) for each in _LOCKED["package"]} == {
        canonicalize_name(name): version for name, version in shipped.items()
    }


def test_installed_packages_have_what_they_require() -> None:
    """pip installs what the lock lists, without resolving: nothing may be missing from it."""
    locked = {canonicalize_name(each.name) for entries in _LOCKED.values() for each in entries}
    installed = {canonicalize_name(each.metadata["Name"]): each for each in importlib.metadata.distributions()}

    missing = [
        (name, line)
        for name in sorted(locked & installed.keys())
        for line in installed[name].requires or ()
        if _applies(Requirement(line), {"extra": ""}) and canonicalize_name(Requirement(line).name) not in installed
    ]

    assert missing == []
