"""Measures which lines run in the interpreters that tests start in isolation, where coverage.py cannot start itself.

If RECORDS names a folder, `isolated_python` and `place_interpreter` put a small tracer before the program. `python -m
tests.support.subprocess_coverage FOLDER FILE` turns its records into a data file for `coverage combine`.
"""

import opcode
import os
import shlex
import sys
from ast import literal_eval
from collections import defaultdict
from pathlib import Path

from tests.support.paths import PRODUCT

RECORDS = "TELEMETRY_FORWARDER_COVERAGE_RECORDS"
"""Environment variable: the folder for the records; unset, nothing is traced."""

# Built-in modules only: the tests look at what is imported. Arcs are those of coverage.py's own tracer, with the
# negative first line of a code object for its entry and exit, and none where a generator is suspended. Only the main
# thread and the first thread started are traced: these run the modules that no test in this process can cover.
_TRACER = """
def record_arcs(folder, resume, push_exception):
    import _thread, atexit, posix, sys, time
    arcs = {}
    def trace(frame, event, argument):
        code = frame.f_code
        if "/telemetry_forwarder/" not in code.co_filename:
            return None
        seen, first, steps = arcs.setdefault(code.co_filename, set()), -code.co_firstlineno, code.co_code
        is_resumed = steps[frame.f_lasti] == resume and steps[frame.f_lasti + 1] != 0
        last = frame.f_lineno if is_resumed else first
        def follow(frame, event, argument):
            nonlocal last
            if event == "line" and steps[frame.f_lasti] != push_exception:
                seen.add((last, frame.f_lineno))
                last = frame.f_lineno
            elif event == "return" and resume not in steps[frame.f_lasti : frame.f_lasti + 3 : 2]:
                # Python 3.14 reports some lines only when it leaves them.
                if sys.version_info >= (3, 14) and frame.f_lineno not in (None, last):
                    seen.add((last, frame.f_lineno))
                    last = frame.f_lineno
                seen.add((last, first))
            return follow
        return follow
    def save():
        sys.settrace(None)
        path = f"{folder}/{posix.getpid()}-{time.time_ns()}"
        file = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o600)
        posix.write(file, repr({path: list(seen) for path, seen in list(arcs.items())}).encode())
        posix.close(file)
    start, leave = _thread.start_new_thread, posix._exit
    def start_traced(function, arguments=(), keywords={}):
        _thread.start_new_thread = start
        def run(*values, **named):
            sys.settrace(trace)
            return function(*values, **named)
        return start(run, arguments, keywords)
    def save_and_leave(code):
        save()
        leave(code)
    _thread.start_new_thread, posix._exit = start_traced, save_and_leave
    atexit.register(save)
    sys.settrace(trace)
"""
_START = "record_arcs({folder!r}, {resume}, {push_exception})\ndel record_arcs\n"


def isolated_python(program: str, *arguments: str, has_libraries: bool = False) -> list[str]:
    """Return the command that runs *program* as the start script does: without `PYTHON*` and site-packages.

    With *has_libraries*, site-packages can be imported.
    """
    flags = ["-I", "-B"] if has_libraries else ["-I", "-S", "-B"]
    return [sys.executable, *flags, "-c", _tracer() + program, *arguments]


def place_interpreter(path: Path) -> None:
    """Make *path* this Python, for a start script that calls it with `-I -S -B -c` and a program."""
    if not (tracer := _tracer()):
        path.symlink_to(sys.executable)
        return
    command = f'{shlex.quote(sys.executable)} -I -S -B -c {shlex.quote(tracer)}"$program" "$@"'
    path.write_text(f"#!/bin/sh\nshift 4\nprogram=$1\nshift\nexec {command}\n")
    path.chmod(0o755)


def _tracer() -> str:
    """Return the source of the tracer, with its start; empty if nothing is to be traced."""
    folder = os.environ.get(RECORDS)
    if not folder:
        return ""
    resume, push_exception = opcode.opmap["RESUME"], opcode.opmap["PUSH_EXC_INFO"]
    return _TRACER + _START.format(folder=folder, resume=resume, push_exception=push_exception)


def convert(folder: Path, target: Path) -> None:
    """Write the records in *folder* to the coverage data file *target*."""
    arcs: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    for record in folder.iterdir():
        for path, seen in literal_eval(record.read_text()).items():
            # Copies of the package in assembled folders are the same files.
            file = PRODUCT / path.rpartition("/telemetry_forwarder/")[2]
            arcs[str(file)] |= set(seen)
    # Not installed next to the interpreter of the layer, where most tests run as well.
    from coverage import CoverageData

    data = CoverageData(basename=str(target))
    data.erase()
    data.add_arcs(arcs)
    data.write()


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
