"""`python -m tests.chaos`: run the scenarios and print one row for each."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from tests.chaos import figures
from tests.chaos.clock import CLOCK
from tests.chaos.endpoint import ENDPOINT
from tests.chaos.machine import MACHINE
from tests.chaos.port import PORT
from tests.chaos.read_only import read_only_copy
from tests.chaos.sandbox import LAMBDA
from tests.chaos.scenario import Scenario
from tests.chaos.soak import run_soak
from tests.chaos.verdict import Verdict
from tests.support.opt_tree import assemble

SCENARIOS = (*ENDPOINT, *LAMBDA, *CLOCK, *MACHINE, *PORT)
_ROW = "{:<28} {:>4} {:>7} {:>5} {:>11} {:>9} {:>7} {:>13}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if something failed, was lost or is missing from a ledger."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each scenario, with seeds from 0")
    parser.add_argument("--at-once", type=int, default=2, help="number of concurrent runs")
    parser.add_argument("--soak", type=int, nargs="?", const=1_000_000, help="send this number of records instead")
    parser.add_argument("--figures", action="store_true", help="measure SHUTDOWN and a dead endpoint instead")
    parser.add_argument("--tree", type=Path, help="run this tree, for example layer/dist/telemetry-forwarder-x86_64")
    parser.add_argument(
        "--user", type=int, help="run the extension with this user id, from a read-only copy (needs root)"
    )
    parser.add_argument("names", nargs="*", help="scenarios whose names begin with this; without any, all")
    options = parser.parse_args(arguments)
    known = [each.name for each in SCENARIOS]
    if unknown := [name for name in options.names if not any(each.startswith(name) for each in known)]:
        parser.error(f"no scenario begins with {unknown[0]!r}; there are {', '.join(map(repr, known))}")
    if options.user is not None and (options.tree is None or options.figures or os.geteuid()):
        parser.error("--user needs root and --tree (a checkout's tree has a link to this Python), and no --figures")
    tree = options.tree.resolve() if options.tree else assemble()
    with nullcontext(tree) if options.user is None else read_only_copy(tree) as opt:
        return _run(opt, options)


def _run(opt: Path, options: argparse.Namespace) -> int:
    if options.soak:
        result = run_soak(opt, options.soak, user=options.user)
        print(result)
        return 0 if result.is_exact and not result.failed else 1
    if options.figures:
        print(figures.shutdown(opt, options.runs))
        print(figures.dead_endpoint(opt, options.runs))
        return 0
    print(_ROW.format("scenario", "runs", "failed", "lost", "duplicates", "needless", "ledger", "slowest next"))
    chosen = [each for each in SCENARIOS if not options.names or each.name.startswith(tuple(options.names))]
    verdicts = [_row(scenario, opt, options) for scenario in chosen]
    return 0 if all(verdict.is_good for verdict in verdicts) else 1


def _row(scenario: Scenario, opt: Path, options: argparse.Namespace) -> Verdict:
    runs = options.runs
    with ThreadPoolExecutor(options.at_once) as pool:
        verdict = Verdict.all_of(pool.map(lambda seed: scenario.run(seed, opt, user=options.user), range(runs)))
    ledger = "exact" if verdict.is_exact else "WRONG"
    slowest = f"{verdict.slowest_next_s * 1000:.0f} ms"
    print(
        _ROW.format(
            scenario.name, runs, verdict.failed, verdict.lost, verdict.duplicates, verdict.needless, ledger, slowest
        ),
        flush=True,
    )
    for remark in verdict.remarks:
        print(f"    {remark}", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
