"""`python -m tests.fleet`: run the scenarios, print one row for each and draw the plot of `docs/performance.md`."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.fleet import plot
from tests.fleet.scenarios import END_AT, FAULT_AT, RECOVERY_AT, SCENARIOS, Result, run_named

_DRAWN = ("refused", "hangs", "Retry-After", "managed, date", "slow", "small memory", "reset", "deploy")
_ROW = "{:<18} {:>9} {:>8} {:>8} {:>9} {:>11} {:>11} {:>9} {:>9} {:>9}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if there was a wave or something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("--environments", type=int, default=10_000, help="number of environments")
    parser.add_argument("--seed", type=int, default=1, help="determines the times of the invocations")
    parser.add_argument("--at-once", type=int, default=2, help="number of scenarios that run concurrently")
    parser.add_argument("names", nargs="*", help="names of scenarios; without any, all")
    options = parser.parse_args(arguments)
    known = [each.name for each in SCENARIOS]
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"there is no scenario {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, known))}")
    names = [name for name in known if not options.names or name in options.names]
    print("requests per second; the peaks as multiples of the steady rate; backlog and the rest in items")
    print(
        _ROW.format(
            "scenario", "steady", "failing", "peak", "later", "received", "delivered", "dropped", "lost", "backlog"
        )
    )
    results = []
    with ProcessPoolExecutor(options.at_once) as pool:
        for result in pool.map(partial(run_named, environments=options.environments, seed=options.seed), names):
            results.append(result)
            print(_row(result), flush=True)
    if not options.names:
        plot.draw([result for result in results if result.name in _DRAWN])
    return 0 if all(result.is_good for result in results) else 1


def _row(result: Result) -> str:
    return _ROW.format(
        result.name,
        f"{result.steady_per_s:.0f}",
        f"{result.peak(FAULT_AT, RECOVERY_AT):.2f}",
        f"{result.peak_after_recovery:.2f}",
        f"{result.peak(RECOVERY_AT + 60, END_AT):.2f}",
        result.received,
        result.delivered,
        result.dropped,
        result.lost,
        max(result.backlog),
    )


if __name__ == "__main__":
    sys.exit(main())
