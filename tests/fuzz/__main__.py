"""`python -m tests.fuzz [SECONDS] [TARGET ...]`: search for inputs that break a promise, 10 minutes for each target.

Two targets run at a time on two CPUs. A failing input is kept in build/fuzz/. With the fix, add it to
tests/fuzz/corpus/.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.support.paths import PROJECT

CORPUS = Path(__file__).parent / "corpus"
_FOUND = PROJECT / "build" / "fuzz"
_SECONDS = 600


def main() -> int:
    """Return 1 if an input was found that fails."""
    parser = argparse.ArgumentParser(prog="./build.sh fuzz", description=__doc__)
    parser.add_argument("seconds", type=int, nargs="?", default=_SECONDS, help="for each target")
    parser.add_argument("targets", nargs="*", help=f"without any, all: {', '.join(TARGETS)}")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := set(names) - TARGETS.keys():
        parser.error(f"there is no target {', '.join(unknown)}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda name: _run(name, options.seconds), names))
    return 1 if any(results) else 0


def _run(name: str, seconds: int) -> int:
    folder = _FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    # The order of a set could lead the search elsewhere.
    environ = {**os.environ, "PYTHONHASHSEED": "0"} if os.environ.get("CI") else None
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(seconds), str(folder)]
    result = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True)
    output = (result.stdout + result.stderr).decode("utf-8", "replace").splitlines()
    # Of a run that found nothing, only how many inputs it tried.
    shown = output[-40:] if result.returncode else [line for line in output if line.startswith("Done ")]
    print("\n".join([f"{name}: {'FAILED' if result.returncode else 'passed'}", *shown]), flush=True)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
