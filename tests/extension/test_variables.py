"""Runs the start script and the extension with variables of the function that are meant to do harm."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.extension_process import lines_of_a_delivery
from tests.support.hostile_variables import GROUPS, REMOVED_BY_SCRIPT, hostile_variables
from tests.support.paths import PROJECT
from tests.support.shells import SHELLS

SCRIPT = PROJECT / "extension" / "telemetry-forwarder"
_SET_BY_SCRIPT = {
    "LC_ALL": "C",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "TZ": "UTC0",
}


@pytest.mark.parametrize("group", GROUPS)
def test_extension_registers_and_delivers_whatever_the_function_sets(
    opt: Path, tmp_path: Path, certificates: Certificates, group: str
) -> None:
    lines = lines_of_a_delivery(opt, hostile_variables(tmp_path)[group], certificates)

    # The linker's own lines are about the shell, which it starts before the script can remove anything.
    assert [line.partition(" records")[0] for line in lines if "telemetry-forwarder]" in line] == [
        "[telemetry-forwarder] INFO"
    ]


@pytest.mark.parametrize(
    "options", ["keyword", "keyword:posix", "allexport:noglob", "errexit:nounset", "physical:braceexpand:hashall"]
)
def test_shell_option_in_a_variable_prints_nothing(tmp_path: Path, options: str) -> None:
    done = run_script(tmp_path, "bash", {"SHELLOPTS": options, "API_KEY": "secret"})

    (line,) = done.stdout.splitlines()
    seen = json.loads(line)
    assert {name: seen.get(name) for name in _SET_BY_SCRIPT} == _SET_BY_SCRIPT
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("group", ["before our first line", "shell"])
def test_interpreter_sees_nothing_that_it_reads_before_our_first_line(tmp_path: Path, group: str, shell: str) -> None:
    done = run_script(tmp_path, shell, hostile_variables(tmp_path)[group])

    seen = json.loads(done.stdout.splitlines()[-1])
    assert {name for name in REMOVED_BY_SCRIPT if name in seen} == set()
    assert {name: seen.get(name) for name in _SET_BY_SCRIPT} == _SET_BY_SCRIPT


def run_script(folder: Path, shell: str, variables: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the start script by *shell* with an interpreter that prints its variables."""
    sh = folder / "sh"
    sh.symlink_to(shutil.which(shell) or "")
    script = folder / "extensions" / "telemetry-forwarder"
    interpreter = folder / "telemetry-forwarder" / "interpreter"
    for path in (script, interpreter):
        path.parent.mkdir()
    script.write_text(SCRIPT.read_text())
    interpreter.write_text(f"#!{sys.executable} -IS\nimport json, os\nprint(json.dumps(dict(os.environ)))\n")
    interpreter.chmod(0o755)

    return subprocess.run([sh, script], env=variables, capture_output=True, text=True)
