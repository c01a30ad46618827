"""./build.sh image, with scripts in the place of the tools that it starts."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

_TOOLS = ("dirname", "cksum", "cat")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Create a project whose virtual environment is up to date, with an interpreter that prints its arguments."""
    project = tmp_path / "project"
    lock = project / "tests/setup/requirements.lock"
    python = project / "build/venv/bin/python"
    for folder in (lock.parent, python.parent):
        folder.mkdir(parents=True)
    write_script(python, 'echo "python $*"')
    shutil.copy(PROJECT / "build.sh", project)
    lock.touch()
    checksum = subprocess.check_output(["cksum"], input="", text=True).strip()
    (project / "build/venv/.made-for").write_text(f"{checksum} 3.11 {project}\n")
    (project / "build/venv/.has-package").touch()
    return project


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """Create the only folder on the path of the script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in _TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    write_script(folder / "python3", "echo 3.11")
    return folder


def write_script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def build_image(project: Path, bin_folder: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(project / "build.sh"), "image", "my-function", "my-function-observed", *options]
    return subprocess.run(command, env={"PATH": str(bin_folder), **env}, capture_output=True, text=True)


def test_missing_builder_is_found_before_anything_is_built(project: Path, bin_folder: Path) -> None:
    done = build_image(project, bin_folder)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "build.sh: not installed: docker, podman or buildah\n"


@pytest.mark.parametrize("builders", [("docker",), ("podman",), ("buildah",), ("docker", "podman", "buildah")])
def test_image_is_built_with_the_first_builder_that_is_installed(
    project: Path, bin_folder: Path, builders: tuple[str, ...]
) -> None:
    for builder in builders:
        write_script(bin_folder / builder, f'echo "{builder} $*"')

    done = build_image(project, bin_folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "python layer/build.py all",
        f"{builders[0]} build --build-arg BASE=my-function --tag my-function-observed --file layer/Dockerfile .",
    ]


def test_builder_and_its_options_can_be_chosen(project: Path, bin_folder: Path) -> None:
    for builder in ("docker", "buildah"):
        write_script(bin_folder / builder, f'echo "{builder} $*"')

    done = build_image(project, bin_folder, "--build-arg", "UNPACK=my-registry/busybox", BUILDER="buildah")
    missing = build_image(project, bin_folder, BUILDER="podman")

    assert done.stdout.splitlines()[1:] == [
        "buildah build --build-arg BASE=my-function --tag my-function-observed --build-arg UNPACK=my-registry/busybox"
        " --file layer/Dockerfile ."
    ]
    assert (missing.returncode, missing.stderr) == (1, "build.sh: not installed: podman\n")


def test_only_the_layers_are_sent_to_the_builder() -> None:
    """The root's file is the one that docker, with and without BuildKit, podman and buildah all read."""
    assert (PROJECT / ".dockerignore").read_text().split() == ["*", "!layer/dist/*.zip"]
    assert os.listdir(PROJECT).count(".containerignore") == 0
    assert list((PROJECT / "layer").glob("*ignore")) == []
