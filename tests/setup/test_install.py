"""What build.sh installs, what it prints meanwhile, and what it says if that fails; pip and Python are scripts here."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

_TOOLS = """\
awk cat chmod cksum cut dirname du env flock grep head id mkdir rm sh sleep sort tail tee tr
"""
_LOCK = """\
# group: package
first==1.0 --hash=sha256:00
# group: demo
second==2.0 --hash=sha256:00
# group: test
third==3.0 ; python_version < '3.14' --hash=sha256:00
third==3.1 ; python_version >= '3.14' --hash=sha256:00
# group: layer
fourth==4.0 --hash=sha256:00
# group: fuzz
# group: lock
"""
# As the first and the second call of an interpreter do: its version, its modules; then a virtual environment.
_PYTHON = """\
case "$*" in
*sys.version_info*) echo 3.11 ;;
*ensurepip*) [ ! -e "$STUBS/no-venv" ] ;;
"-m venv --clear "*)
    [ ! -e "$STUBS/no-space" ] || { echo "Error: [Errno 28] No space left on device"; exit 1; }
    rm -rf "$4"
    mkdir -p "$4/bin" "$4/lib/python3.11/site-packages"
    echo "created" >>"$STUBS/calls"
    printf '#!/bin/sh\\n. "$STUBS/venv-python"\\n' >"$4/bin/python"
    chmod +x "$4/bin/python"
    ;;
esac
"""
_VENV_PYTHON = """\
case "$*" in
"-m pip install"*)
    for requirements; do :; done
    echo "pip $(grep -c == "$requirements") ${PIP_INDEX_URL:-}" >>"$STUBS/calls"
    . "$STUBS/pip"
    ;;
*) echo "ran $*" ;;
esac
"""


class Project:
    """A checkout with nothing but build.sh and a lock file, and the only folder on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a project"
        self._bin = folder / "bin"
        self._stubs = folder / "stubs"
        for path in (self.folder / "tests/setup", self._bin, self._stubs):
            path.mkdir(parents=True)
        shutil.copy(PROJECT / "build.sh", self.folder)
        self.lock = self.folder / "tests/setup/requirements.lock"
        self.lock.write_text(_LOCK)
        for tool in _TOOLS.split():
            (self._bin / tool).symlink_to(str(shutil.which(tool)))
        self.add_interpreter("python3", _PYTHON)
        self.stub("venv-python", _VENV_PYTHON)
        self.stub("pip", "")

    @property
    def venv(self) -> Path:
        return self.folder / "build/venv"

    @property
    def calls(self) -> list[str]:
        path = self._stubs / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def add_interpreter(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def stub(self, name: str, text: str) -> None:
        (self._stubs / name).write_text(text)

    def start(self, *arguments: str, user: int | None = None, **variables: str) -> subprocess.Popen[str]:
        env = {"PATH": str(self._bin), "STUBS": str(self._stubs), **variables}
        pipe = subprocess.PIPE
        command = ["/bin/sh", str(self.folder / "build.sh"), *arguments]
        return subprocess.Popen(
            command, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True, user=user
        )

    def run(self, *arguments: str, user: int | None = None, **variables: str) -> tuple[int, str, str]:
        process = self.start(*arguments, user=user, **variables)
        stdout, stderr = process.communicate()
        return process.returncode, stdout, stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "groups", "packages"),
    [
        (("check",), "package", 1),
        (("layer",), "package", 1),
        (("demo",), "package demo", 2),
        (("test", "tests/otlp"), "package demo test", 3),
        (("bench",), "package demo test", 3),
        (("install", "layer"), "package demo test layer", 4),
        (("fuzz",), "package demo test fuzz", 3),
        (("lock",), "package demo test lock", 3),
    ],
)
def test_task_installs_the_groups_that_it_needs(
    project: Project, arguments: tuple[str, ...], groups: str, packages: int
) -> None:
    code, _, stderr = project.run(*arguments)

    assert code == 0
    assert f"build.sh: installing {packages} packages into build/venv for: {groups}" in stderr
    installed = {path.name.removeprefix(".has-") for path in project.venv.glob(".has-*")}
    assert installed == set(groups.split())


def test_second_start_installs_nothing_and_prints_nothing_of_its_own(project: Project) -> None:
    project.run("demo")

    assert project.run("demo") == (0, "ran -m tests.demo\n", "")
    assert project.calls == ["created", "pip 2 "]


def test_another_task_adds_only_what_is_missing(project: Project) -> None:
    project.run("demo")

    project.run("test", "tests/otlp")

    # Two versions of one package, of which its markers choose one.
    assert project.calls == ["created", "pip 2 ", "pip 2 "]


@pytest.mark.parametrize("change", ["lock", "folder", "interpreter"])
def test_environment_is_created_again_after_a_change(project: Project, change: str) -> None:
    project.run("demo")
    if change == "lock":
        project.lock.write_text(_LOCK + "# changed\n")
    elif change == "folder":
        project.folder = project.folder.rename(project.folder.with_name("moved"))
    else:
        project.add_interpreter("python3", _PYTHON.replace("3.11", "3.12"))

    code, _, stderr = project.run("demo")

    assert (code, "creating build/venv" in stderr) == (0, True)
    assert project.calls.count("created") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_installation_is_repeated_from_the_start(project: Project, number: signal.Signals) -> None:
    # A shell lets what runs in the background ignore it, and processes inherit that; not that it is handled.
    handler = signal.signal(number, signal.default_int_handler)
    project.stub("pip", "sleep 60")
    process = project.start("demo")
    signal.signal(number, handler)
    while not project.calls[1:]:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    process.communicate()
    project.stub("pip", "")

    code, stdout, _ = project.run("demo")

    assert (code, stdout) == (0, "ran -m tests.demo\n")
    assert project.calls == ["created", "pip 2 ", "created", "pip 2 "]


def test_environment_that_runs_the_tests_is_not_created_again(project: Project) -> None:
    project.run("test", "tests/otlp")
    project.lock.write_text(_LOCK + "# changed\n")

    done = project.run("install", "layer", TELEMETRY_FORWARDER_VENV_IN_USE="true")

    assert done == (1, "", "build.sh: build/venv is not up to date: run ./build.sh install test\n")
    assert project.calls.count("created") == 1


def test_each_step_and_each_package_is_a_line(project: Project) -> None:
    lines = [
        "Collecting first==1.0 (from -r requirements.txt (line 2))",
        "  Downloading first-1.0-py3-none-any.whl.metadata (3.1 kB)",
        "  Downloading first-1.0-py3-none-any.whl (10.3 MB)",
        "  Using cached https://index.invalid/a%20b/sec_ond-2.0.tar.gz (7 kB)",
        "Processing /wheels/third-3.0-py3-none-any.whl",
        "Installing collected packages: first, sec-ond",
    ]
    project.stub("pip", "".join(f"echo '{line}'\n" for line in lines))

    _, _, stderr = project.run("install", "test")

    assert stderr.splitlines() == [
        "build.sh: creating build/venv with Python 3.11",
        "build.sh: installing 3 packages into build/venv for: package demo test",
        "  1/3 first 1.0 (10.3 MB)",
        "  2/3 sec_ond 2.0.tar.gz (7 kB)",
        "  3/3 third 3.0",
        "  unpacking into build/venv",
        "build.sh: installed",
    ]


def test_package_is_announced_while_pip_still_downloads_it(project: Project) -> None:
    project.stub("pip", "echo '  Downloading first-1.0-py3-none-any.whl (1 GB)'\nread -r _ <\"$STUBS/fifo\"")
    fifo = project.folder.parent / "stubs/fifo"
    os.mkfifo(fifo)
    process = project.start("demo")
    assert process.stderr

    lines = [process.stderr.readline() for _ in range(3)]

    assert lines[-1] == "  1/2 first 1.0 (1 GB)\n"
    fifo.write_text("continue\n")
    process.communicate()
    assert process.returncode == 0


def test_variables_of_pip_reach_it(project: Project) -> None:
    project.run("demo", PIP_INDEX_URL="https://mirror.invalid/simple")

    assert project.calls == ["created", "pip 2 https://mirror.invalid/simple"]


_RETRYING = "WARNING: Retrying (Retry(total=2)) after connection broken by 'NewConnectionError(...)': /simple/first/"
_NO_MATCH = "ERROR: No matching distribution found for first==1.0"


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        (
            (_RETRYING, _NO_MATCH),
            "the package index cannot be reached: connect to the network, or set HTTPS_PROXY or PIP_INDEX_URL",
        ),
        (
            (_RETRYING.replace("NewConnectionError", "ProxyError"), _NO_MATCH),
            "the proxy refuses the package index: look at HTTPS_PROXY and pip's own settings (pip config list)",
        ),
        (
            (_RETRYING.replace("NewConnectionError(...", "SSLError(... CERTIFICATE_VERIFY_FAILED"), _NO_MATCH),
            "the certificate of the package index is not trusted: name your proxy's certificate in PIP_CERT",
        ),
        (
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "    first==1.0:"),
            "a download is not the file that tests/setup/requirements.lock names: use an index without changed files, "
            "or delete pip's cache",
        ),
        (
            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",),
            "the disk is full: 1.2 GB are needed for the tests, 0.2 GB for the demo",
        ),
        (
            (_NO_MATCH,),
            "No matching distribution found for first==1.0 on Python 3.11: try --python 3.13, or look at "
            "build/venv/pip.log",
        ),
        (("ERROR: anything else",), "pip failed: ERROR: anything else (all of it: build/venv/pip.log)"),
        (("  File x", "KeyError: 1"), "pip failed: KeyError: 1 (all of it: build/venv/pip.log)"),
    ],
)
def test_failure_of_pip_is_one_line_that_says_what_to_do(
    project: Project, printed: tuple[str, ...], message: str
) -> None:
    project.stub("pip", "".join(f'echo "{line}"\n' for line in printed) + "false")

    code, stdout, stderr = project.run("demo")

    assert (code, stdout) == (1, "")
    assert stderr.splitlines()[-1] == f"build.sh: {message}"
    assert not list(project.venv.glob(".has-*"))


def test_waiting_for_the_index_is_said(project: Project) -> None:
    project.stub("pip", f'echo "{_RETRYING}"')

    _, _, stderr = project.run("demo")

    assert "  no answer from the package index, trying again" in stderr.splitlines()


_OLD = 'case "$*" in *sys.version_info*) echo 3.9 ;; esac'


def test_another_interpreter_is_used_if_python3_is_too_old(project: Project) -> None:
    project.add_interpreter("python3", _OLD)
    project.add_interpreter("python3.12", _PYTHON.replace("3.11", "3.12"))

    code, _, stderr = project.run("demo")

    assert (code, stderr.splitlines()[0]) == (0, "build.sh: creating build/venv with Python 3.12")


def test_python_that_is_too_old_is_named(project: Project) -> None:
    project.add_interpreter("python3", _OLD)

    done = project.run("demo")

    assert done == (1, "", "build.sh: python3 is Python 3.9: install Python 3.11 or newer\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test", "--python", "3.14"), "python3.14 is not installed: install Python 3.14"),
        (("install", "--python=3.14", "demo"), "python3.14 is not installed: install Python 3.14"),
        (("test", "--python"), "--python needs a version, for example 3.14"),
    ],
)
def test_version_that_is_not_installed_is_named(project: Project, arguments: tuple[str, ...], message: str) -> None:
    assert project.run(*arguments) == (1, "", f"build.sh: {message}\n")


def test_version_has_an_environment_of_its_own(project: Project) -> None:
    project.add_interpreter("python3.14", _PYTHON.replace("3.11", "3.14"))

    code, _, _ = project.run("install", "--python", "3.14", "demo")

    assert code == 0
    assert [path.name for path in (project.folder / "build").glob("venv*/.has-demo")] == [".has-demo"]
    assert (project.folder / "build/venv-3.14/.has-demo").exists()


def test_missing_module_venv_is_named_with_its_package(project: Project) -> None:
    project.stub("no-venv", "")

    done = project.run("demo")

    message = "python3 has no module venv with pip: install it (Debian and Ubuntu: apt-get install python3.11-venv)"
    assert done == (1, "", f"build.sh: {message}\n")


def test_reason_why_no_environment_could_be_created_is_shown(project: Project) -> None:
    project.stub("no-space", "")

    code, _, stderr = project.run("demo")

    assert code == 1
    assert stderr.splitlines()[-1] == ("build.sh: python3 -m venv failed: Error: [Errno 28] No space left on device")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("is_installed", [False, True])
def test_user_who_may_not_write_is_told_so(is_installed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        project = Project(Path(folder))
        if is_installed:
            project.run("install", "package")

        done = project.run("demo", user=65534)

        reason = f"{project.venv} cannot be written by nobody"
        advice = "give that user a checkout, or change the folder's owner"
        assert done == (1, "", f"build.sh: {reason}: {advice}\n")


def test_second_installation_waits_for_the_first(project: Project) -> None:
    fifo = project.folder.parent / "stubs/fifo"
    os.mkfifo(fifo)
    project.stub("pip", 'read -r _ <"$STUBS/fifo"')
    first = project.start("demo")
    while not project.calls[1:]:
        time.sleep(0.01)
    second = project.start("demo")
    assert second.stderr

    assert second.stderr.readline() == "build.sh: waiting for another ./build.sh, which is installing\n"

    fifo.write_text("continue\n")
    assert [process.communicate()[0] for process in (first, second)] == ["ran -m tests.demo\n"] * 2
    assert project.calls == ["created", "pip 2 "]


def test_unknown_group_shows_the_list_of_tasks(project: Project) -> None:
    code, _, stderr = project.run("install", "everything")

    assert (code, "./build.sh install [--python X.Y] GROUP" in stderr) == (2, True)
