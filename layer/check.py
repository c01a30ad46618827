#!/usr/bin/env python3
"""Measures how much the layer adds to a cold start: `python3 layer/check.py start [TREE]`.

TREE is an unpacked layer (`layer/build.py --unpacked`); by default one is built for this machine. The same interpreter
runs in turns: a program that does nothing, with and without finalising the interpreter, and the extension until its
POST /register, which a local server receives and never answers.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LAYER = Path(__file__).resolve().parent
_NAME = "telemetry-forwarder"
_GOAL = 1.6
_BARE = {"bare": "def run(_name):\n    pass\n", "exit": "def run(_name):\n    import posix\n    posix._exit(0)\n"}


@dataclass(frozen=True, slots=True)
class Start:
    """One start: time and CPU time from exec to the event of interest."""

    wall_ms: float
    cpu_ms: float


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="layer/check.py", description=__doc__)
    parser.add_argument("what", choices=["start"])
    parser.add_argument("tree", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tree = options.tree or _build(Path(folder))
        ratio = _compare(tree.resolve(), Path(folder), options.rounds)
    print(f"ratio {ratio:.2f}, goal at most {_GOAL}")
    raise SystemExit(ratio > _GOAL)


def _build(folder: Path) -> Path:
    command = [sys.executable, str(_LAYER / "build.py"), "--unpacked", "--out", str(folder)]
    subprocess.run(command, check=True)
    return next(path for path in folder.iterdir() if path.is_dir())


def _compare(tree: Path, folder: Path, rounds: int) -> float:
    """Return the time until register as a multiple of a bare start."""
    bare, bare_exit = _write_bare_programs(tree, folder)
    starts: dict[str, list[Start]] = {"bare": [], "bare _exit": [], "register": [], "register by sh": []}
    with _runtime_api() as api:
        for _ in range(rounds):
            starts["bare"].append(_until_exit([str(bare)]))
            starts["bare _exit"].append(_until_exit([str(bare_exit)]))
            interpreter = [str(tree / _NAME / "interpreter"), _NAME]
            starts["register"].append(_until_register(interpreter, api))
            extension = [str(tree / "extensions" / _NAME)]
            starts["register by sh"].append(_until_register(extension, api))
    for name, measured in starts.items():
        wall_ms = [start.wall_ms for start in measured]
        cpu_ms = [start.cpu_ms for start in measured]
        print(
            f"{name:18} wall {statistics.median(wall_ms):6.2f} ms (minimum {min(wall_ms):.2f}),"
            f" cpu {statistics.median(cpu_ms):6.2f} ms (minimum {min(cpu_ms):.2f})"
        )
    median_ms = {name: statistics.median(start.wall_ms for start in starts[name]) for name in starts}
    print(f"register relative to bare _exit: {median_ms['register'] / median_ms['bare _exit']:.2f}")
    return median_ms["register"] / median_ms["bare"]


def _write_bare_programs(tree: Path, folder: Path) -> list[Path]:
    """Copy the interpreter and its modules under other names, which make it run other programs."""
    root = folder / "bare"
    shutil.copytree(tree / _NAME, root)
    for name, program in _BARE.items():
        shutil.copy2(root / "interpreter", root / name)
        (root / "lib" / f"__init__{name}.py").write_text(program)
        # The first start compiles the program.
        subprocess.run([str(root / name)], check=True)
    return [root / name for name in _BARE]


@contextmanager
def _runtime_api() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def _until_exit(command: list[str]) -> Start:
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return Start((time.perf_counter() - began) * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3)


def _until_register(command: list[str], api: socket.socket) -> Start:
    environ = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.getsockname()[1]}", "PATH": "/usr/bin:/bin"}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environ)
    connection, _ = api.accept()
    with connection:
        while not connection.recv(65536).startswith(b"POST "):
            pass
        wall_ms = (time.perf_counter() - began) * 1e3
        # It now waits for the response and uses no CPU.
        process.kill()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return Start(wall_ms, (usage.ru_utime + usage.ru_stime) * 1e3)


if __name__ == "__main__":
    main(sys.argv[1:])
