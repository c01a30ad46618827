"""`python -m tests.bench [startup|shares|records|memory|flush|chaos|all]`, also `./build.sh bench`."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import lives, memory, plots, records, start_up, trees
from tests.bench.figures import Figure, table, write
from tests.support.opt_tree import ROOT

_RESULTS = ROOT / "build" / "bench.json"


def _startup(chosen: list[trees.Tree], rounds: int) -> list[Figure]:
    naive = trees.naive()
    figures = start_up.run(chosen, naive, rounds) + start_up.run_beside(chosen, rounds)
    return figures + [figure for tree in (*chosen, naive) for figure in start_up.counted(tree)]


BENCHMARKS: dict[str, Callable[[list[trees.Tree], int], list[Figure]]] = {
    "startup": _startup,
    "shares": lives.run_shares,
    "records": lambda chosen, rounds: records.run(chosen, trees.naive(), rounds),
    "memory": lambda chosen, rounds: memory.run(chosen, trees.naive(), rounds),
    "flush": lives.run_flush,
}


def main() -> int:
    """Run what was asked for. The exit code says only whether it could be run."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("name", nargs="?", default="all", choices=[*BENCHMARKS, "chaos", "all"])
    parser.add_argument("--tree", type=Path, help="an unpacked layer, to be measured beside the checkout")
    parser.add_argument("--rounds", type=int, default=15, help="how often each case is run (default: 15)")
    given = parser.parse_args()
    if given.name != "chaos":
        chosen = [trees.checkout()] + ([trees.shipped(given.tree)] if given.tree else [])
        for name in BENCHMARKS if given.name == "all" else [given.name]:
            figures = BENCHMARKS[name](chosen, given.rounds)
            write(_RESULTS, figures)
            plots.draw(name, _RESULTS)
            print(f"{name}: medians of {given.rounds}\n{table(figures)}\n", flush=True)
    if given.name in ("chaos", "all"):
        return subprocess.call([sys.executable, "-m", "tests.chaos", "--runs", "20"], cwd=ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
