import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

from tests.support.paths import PRODUCT, PROJECT
from tests.support.subprocess_coverage import RECORDS, convert, isolated_python, place_interpreter

# Functions, generators that are suspended, and exceptions.
PROGRAM = """
import _thread, sys
sys.path.insert(0, sys.argv[1])

def work():
    from telemetry_forwarder.diagnostics import Diagnostics
    from telemetry_forwarder.clock import Clock
    from telemetry_forwarder.errors import MessageError
    from telemetry_forwarder.http1 import MessageReader
    Diagnostics("warn", Clock(), file=-1).warn("the file is closed")
    for pieces in (b"POST / HTTP/1.1\\r\\nA: b\\r\\n\\r\\n", b"GET / HTTP/2.0\\r\\n"):
        reader = MessageReader(100)
        try:
            for piece in pieces:
                list(reader.feed(bytes([piece])))
        except MessageError:
            pass
    finished.release()

finished = _thread.allocate_lock()
finished.acquire()
"""
IN_MAIN_THREAD = PROGRAM + "work()\n"
IN_FIRST_THREAD = PROGRAM + "_thread.start_new_thread(work, ())\nfinished.acquire()\n"
MODULES = [str(PRODUCT / f"{name}.py") for name in ("clock", "diagnostics", "errors", "http1")]


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    monkeypatch.setenv(RECORDS, str(folder))
    return folder


def arcs(file: Path) -> dict[str, set[tuple[int, int]]]:
    data = CoverageData(basename=str(file))
    data.read()
    return {module: set(data.arcs(module) or ()) for module in MODULES}


def test_arcs_are_those_of_coverage_py(tmp_path: Path, records: Path) -> None:
    program, expected = tmp_path / "program.py", tmp_path / "expected"
    program.write_text(IN_MAIN_THREAD)
    # `timid` selects the tracer that is written in Python and defines the format.
    options = ["--timid", "--branch", f"--data-file={expected}", f"--source={PRODUCT}", "--rcfile=/dev/null"]
    subprocess.run(
        [sys.executable, "-m", "coverage", "run", *options, str(program), str(PROJECT)], check=True, timeout=60
    )

    subprocess.run(isolated_python(IN_MAIN_THREAD, str(PROJECT)), check=True, timeout=60)
    convert(records, tmp_path / "converted")

    assert arcs(tmp_path / "converted") == arcs(expected)


@pytest.mark.parametrize("program", [IN_FIRST_THREAD, IN_MAIN_THREAD + "import posix\nposix._exit(0)"])
def test_first_thread_and_immediate_exit_are_recorded(tmp_path: Path, records: Path, program: str) -> None:
    subprocess.run(isolated_python(IN_MAIN_THREAD, str(PROJECT)), check=True, timeout=60)
    convert(records, tmp_path / "expected")
    for record in records.iterdir():
        record.unlink()

    subprocess.run(isolated_python(program, str(PROJECT)), check=True, timeout=60)
    convert(records, tmp_path / "converted")

    assert arcs(tmp_path / "converted") == arcs(tmp_path / "expected")


def test_placed_interpreter_runs_the_program_in_isolation(tmp_path: Path, records: Path) -> None:
    place_interpreter(tmp_path / "python3")

    program = IN_MAIN_THREAD + "print(sys.flags.isolated)"
    call = [str(tmp_path / "python3"), "-I", "-S", "-B", "-c", program, str(PROJECT)]
    process = subprocess.run(call, capture_output=True, text=True, timeout=60, env={})

    assert (process.stdout, process.stderr) == ("1\n", "")
    assert len(list(records.iterdir())) == 1


def test_nothing_is_traced_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RECORDS, raising=False)

    place_interpreter(tmp_path / "python3")

    assert isolated_python("pass", "argument") == [sys.executable, "-I", "-S", "-B", "-c", "pass", "argument"]
    assert (tmp_path / "python3").readlink() == Path(sys.executable)
