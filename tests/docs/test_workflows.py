"""The workflows, which can run on GitHub only, run what exists, pinned, with as few permissions as possible."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from telemetry_forwarder.core.version import VERSION
from tests.docs.commands import problems
from tests.support.paths import LAYER, PROJECT

_FOLDER = PROJECT / ".github" / "workflows"
_CI, _RELEASE = _FOLDER / "ci.yml", _FOLDER / "release.yml"
_FOREIGN = frozenset({"sudo", "python3", "unzip", "sha256sum", "gh"})


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _steps(path: Path) -> list[Any]:
    return [step for job in _read(path)["jobs"].values() for step in job["steps"]]


def _commands(path: Path) -> list[str]:
    return [line for step in _steps(path) if "run" in step for line in step["run"].splitlines()]


_ALL_COMMANDS = [command for path in (_CI, _RELEASE) for command in _commands(path)]


@pytest.mark.parametrize("command", _ALL_COMMANDS)
def test_command_exists(command: str) -> None:
    assert command.split(maxsplit=1)[0] in {"./build.sh", *_FOREIGN}
    assert problems(command) == []


def test_every_supported_python_is_tested_on_both_architectures() -> None:
    (job,) = _read(_CI)["jobs"].values()

    assert job["strategy"]["matrix"] == {
        "python": ["3.11", "3.12", "3.13", "3.14"],
        "os": ["ubuntu-24.04", "ubuntu-24.04-arm"],
    }
    assert "./build.sh test --python ${{ matrix.python }}" in _commands(_CI)
    assert 'requires-python = ">=3.11"' in (PROJECT / "pyproject.toml").read_text()


def test_release_is_built_from_tags_only() -> None:
    # YAML 1.1 reads the key `on` as true.
    assert _read(_RELEASE)[True] == {"push": {"tags": ["v*"]}}
    assert "./build.sh layer all" in _commands(_RELEASE)


def test_release_attaches_zip_sums_and_sbom_of_both_architectures() -> None:
    (attached,) = [command for command in _commands(_RELEASE) if command.startswith("gh release create")]

    files = {word for word in attached.split() if "." in word or word == "SHA256SUMS"}

    zips = {f"telemetry-forwarder-{arch}.zip" for arch in ("x86_64", "arm64")}
    sboms = {name.replace(".zip", ".cdx.json") for name in zips}
    assert files == {*zips, *sboms, "SHA256SUMS"}
    # The build and publish.sh agree on the names of the zips: tests/layer builds and publishes them.
    assert "telemetry-forwarder-$arch.zip" in (LAYER / "publish.sh").read_text()


def test_sbom_is_extracted_from_where_the_build_writes_it() -> None:
    extracted = [command for command in _commands(_RELEASE) if command.startswith("unzip")]

    assert [command.split()[3] for command in extracted] == ["telemetry-forwarder/sbom.cdx.json"] * 2
    assert '"sbom.cdx.json"' in (LAYER / "recipe" / "documents.py").read_text()


def test_files_that_are_attached_are_made_before() -> None:
    *earlier, attach = _commands(_RELEASE)
    made = {match[1] for command in earlier if (match := re.search(r">(?:layer/dist/)?(\S+)$", command))}

    attached = {word for word in attach.split() if word.endswith(".json") or word == "SHA256SUMS"}

    assert attached == made


@pytest.mark.parametrize("path", [_CI, _RELEASE], ids=["ci", "release"])
def test_actions_are_github_s_own_and_pinned_to_a_major_version(path: Path) -> None:
    actions = [step["uses"] for step in _steps(path) if "uses" in step]

    assert actions
    assert [action for action in actions if not re.fullmatch(r"actions/[a-z-]+@v\d+", action)] == []


def test_permissions_are_minimal() -> None:
    assert _read(_CI)["permissions"] == {"contents": "read"}
    assert [job.get("permissions") for job in _read(_CI)["jobs"].values()] == [None]
    assert _read(_RELEASE)["permissions"] == {}
    assert [job["permissions"] for job in _read(_RELEASE)["jobs"].values()] == [{"contents": "write"}]


@pytest.mark.parametrize(("tag", "is_accepted"), [(f"v{VERSION}", True), ("v999.0.0", False)])
def test_tag_must_be_the_version(tag: str, is_accepted: bool) -> None:
    (command,) = [command for command in _commands(_RELEASE) if command.startswith("python3 -c")]
    command = command.replace("python3", sys.executable, 1)

    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=PROJECT, env={"GITHUB_REF_NAME": tag}, capture_output=True, check=False
    )

    assert (done.returncode == 0) is is_accepted
