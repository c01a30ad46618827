"""The layer's checkers are installed when selected tests need them, and before the first test runs."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.paths import TESTS

_TESTS = """\
import pytest

@pytest.mark.layer_checkers
def test_with_a_checker():
    print("with")

def test_without():
    print("without")
"""
_MARKER = "[pytest]\nmarkers = layer_checkers: needs them\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Create a project with two tests, an environment of build.sh, and a build.sh that prints its arguments."""
    for name in ("tests/layer/conftest.py", "tests/support/paths.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(TESTS.parent / name, tmp_path / name)
    (tmp_path / "pytest.ini").write_text(_MARKER)
    (tmp_path / "tests/layer/test_x.py").write_text(_TESTS)
    (tmp_path / "build.sh").write_text('echo "installs: $*, in use: $TELEMETRY_FORWARDER_VENV_IN_USE"\n')
    make_environment(tmp_path / "build/venv")
    return tmp_path


def make_environment(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    base = Path(os.path.realpath(sys.executable))
    (folder / "bin/python").symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    (folder / ".made-for").touch()


def run(project: Path, *arguments: str, venv: str = "venv") -> tuple[int, str]:
    # The environment has no packages of its own; with those of this one, the project's `tests` is found first.
    env = {"PYTHONPATH": f"{project}:{sysconfig.get_path('purelib')}", "PATH": os.environ["PATH"]}
    command = [str(project / "build" / venv / "bin/python"), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("selection", [(), ("-k", "checker"), ("tests/layer/test_x.py::test_with_a_checker",)])
def test_selected_test_has_its_checkers_installed_once(project: Path, selection: tuple[str, ...]) -> None:
    code, output = run(project, *selection)

    assert code == 0
    assert output.count("installs: install layer, in use: true\n") == 1


@pytest.mark.parametrize("selection", [("-k", "without"), ("-m", "not layer_checkers"), ("--collect-only",)])
def test_nothing_is_installed_if_no_test_that_runs_needs_it(project: Path, selection: tuple[str, ...]) -> None:
    code, output = run(project, *selection)

    assert (code, "installs" in output) == (0, False)


def test_environment_of_another_python_is_named(project: Path) -> None:
    (project / "build/venv").rename(project / "build/venv-3.14")

    _, output = run(project, venv="venv-3.14")

    assert "installs: install --python 3.14 layer" in output


def test_other_environments_are_not_changed(project: Path) -> None:
    (project / "build/venv/.made-for").unlink()

    code, output = run(project)

    assert (code, "installs" in output) == (0, False)


def test_failed_installation_ends_the_run_before_the_first_test(project: Path) -> None:
    (project / "build.sh").write_text("echo 'build.sh: the disk is full' >&2\nexit 1\n")

    code, output = run(project)

    assert code == 1
    assert "build.sh: the disk is full\n" in output
    assert "without the tests that need them: -m 'not layer_checkers'" in output
    assert "passed" not in output
