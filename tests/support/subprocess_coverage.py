"""Measures which lines run in the interpreters that tests start with `-I -S`, where coverage.py cannot start itself.

`isolated_python` puts a small tracer before a program if RECORDS names a folder; `python -m
tests.support.subprocess_coverage` turns what it recorded into a coverage data file, for `coverage combine`.
"""

import marshal
import os
import sys
from collections import defaultdict
from pathlib import Path

from tests.support.paths import PRODUCT

RECORDS = "TELEMETRY_FORWARDER_COVERAGE_RECORDS"
"""Environment variable: the folder for the records; unset, nothing is traced."""

# Built-in modules only: the tests look at what is imported. Arcs are those of coverage.py's own Python tracer, with
# the negative first line of a code object for its entry and exit. Only the main thread and the first thread started
# are traced: these run the modules that no in-process test can cover.
_TRACER = """
def record_arcs(folder):
    import _thread, atexit, marshal, posix, sys
    arcs, yields = {}, set()
    def trace(frame, event, argument):
        code = frame.f_code
        path = code.co_filename
        if "telemetry_forwarder/" not in path:
            return None
        first = -code.co_firstlineno
        last = [frame.f_lineno if frame.f_lasti > 0 and event == "call" and code.co_flags & 0x2A0 else first]
        seen = arcs.setdefault(path, set())
        def follow(frame, event, argument):
            if event == "line":
                seen.add((last[0], frame.f_lineno))
                last[0] = frame.f_lineno
            elif event == "return" and not code.co_flags & 0x2A0:
                seen.add((last[0], first))
            return follow
        return follow
    def save():
        sys.settrace(None)
        file = posix.open(f"{folder}/{posix.getpid()}", posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
        posix.write(file, marshal.dumps({path: list(seen) for path, seen in arcs.items()}))
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
record_arcs(%r)
del record_arcs
"""


def isolated_python(program: str, *arguments: str) -> list[str]:
    """Return the command that runs *program* as the start script does: without site-packages and `PYTHON*`."""
    folder = os.environ.get(RECORDS)
    source = (_TRACER % folder if folder else "") + program
    return [sys.executable, "-I", "-S", "-B", "-c", source, *arguments]


def convert(folder: Path, target: Path) -> None:
    """Write the records in *folder* to the coverage data file *target*."""
    from coverage import CoverageData  # only this function needs it

    arcs: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    for record in folder.iterdir():
        for path, seen in marshal.loads(record.read_bytes()).items():  # our own subprocess wrote it
            _, _, module = path.rpartition("telemetry_forwarder/")
            arcs[str(PRODUCT / module)] |= set(seen)
    data = CoverageData(basename=str(target))
    data.add_arcs(arcs)
    data.write()


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
