"""`python -m tests.bench [startup|shares|records|memory|flush|chaos|all]`, also `./build.sh bench`.

Without options it measures this checkout. `--against DIR` measures another checkout, assembled by its own recipe, in
the same rounds and adds the ratios. `--tree A` measures an unpacked layer, too; with `--against-tree B` the
two layers are compared instead of checkouts.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import environments, instructions, memory, plots, records, start_up, trees
from tests.bench.figures import Figure, save_results, table
from tests.support.paths import PROJECT

_RESULTS = PROJECT / "build" / "bench.json"


def _startup(chosen: list[trees.Tree], rounds: int) -> list[Figure]:
    tutorial = trees.tutorial()
    figures = start_up.run(chosen, tutorial, rounds) + start_up.run_with_runtime(chosen, rounds)
    return figures + instructions.run(chosen, tutorial)


BENCHMARKS: dict[str, Callable[[list[trees.Tree], int], list[Figure]]] = {
    "startup": _startup,
    "shares": environments.run_shares,
    "records": lambda chosen, rounds: records.run(chosen, trees.tutorial(), rounds),
    "memory": lambda chosen, rounds: memory.run(chosen, trees.tutorial(), rounds),
    "flush": environments.run_flush,
}


def main() -> int:
    """Run the benchmarks; the exit code does not depend on the figures."""
    options = _options()
    if options.name != "chaos":
        chosen = _trees(options)
        for name in BENCHMARKS if options.name == "all" else [options.name]:
            figures = BENCHMARKS[name](chosen, options.rounds)
            save_results(_RESULTS, figures)
            plots.draw(name, _RESULTS)
            print(f"{name}: medians of {options.rounds}\n{table(figures)}\n", flush=True)
    if options.name in ("chaos", "all"):
        return subprocess.call([sys.executable, "-m", "tests.chaos", "--runs", "20"], cwd=PROJECT)
    return 0


def _trees(options: argparse.Namespace) -> list[trees.Tree]:
    if options.against_tree:
        return [trees.shipped(options.tree), trees.shipped(options.against_tree, "against")]
    if options.against:
        return [trees.checkout(), trees.other_checkout(options.against)]
    return [trees.checkout(), *([trees.shipped(options.tree)] if options.tree else [])]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", default="all", choices=[*BENCHMARKS, "chaos", "all"])
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout to compare with")
    parser.add_argument("--tree", type=Path, metavar="A", help="an unpacked layer to measure as well")
    parser.add_argument("--against-tree", type=Path, metavar="B", help="an unpacked layer to compare A with")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each case (default: 15)")
    options = parser.parse_args()
    if options.against_tree and not options.tree:
        parser.error("--against-tree needs --tree")
    if options.against and options.tree:
        parser.error("--against compares checkouts, --tree with --against-tree layers: not both")
    return options


if __name__ == "__main__":
    sys.exit(main())
