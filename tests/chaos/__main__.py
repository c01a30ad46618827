"""`python -m tests.chaos`: the table, one row per scenario."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos import figures
from tests.chaos.endpoint import ENDPOINT
from tests.chaos.machine import MACHINE
from tests.chaos.sandbox import LAMBDA
from tests.chaos.scenario import Scenario
from tests.chaos.soak import soak
from tests.chaos.verdict import Verdict
from tests.support.opt_tree import assemble

SCENARIOS = (*ENDPOINT, *LAMBDA, *MACHINE)
_ROW = "{:<22} {:>4} {:>7} {:>5} {:>11} {:>9} {:>7} {:>13}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where something is lost, failed or not in the books."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each scenario, with seeds from 0 on")
    parser.add_argument("--at-once", type=int, default=2, help="so many runs beside each other")
    parser.add_argument("--soak", type=int, nargs="?", const=1_000_000, help="so many records instead")
    parser.add_argument(
        "--figures", action="store_true", help="the end with much to deliver, a dead endpoint"
    )
    parser.add_argument("names", nargs="*", help="scenarios whose names begin so; all, if none is given")
    given = parser.parse_args(arguments)
    opt = assemble()
    if given.soak:
        soaked = soak(opt, given.soak)
        print(soaked)
        return 0 if soaked.is_exact and not soaked.failed else 1
    if given.figures:
        print(figures.shutdown(opt, given.runs))
        print(figures.dead_endpoint(opt, given.runs))
        return 0
    print(
        _ROW.format("scenario", "runs", "failed", "lost", "duplicates", "needless", "ledger", "slowest next")
    )
    wanted = [each for each in SCENARIOS if not given.names or each.name.startswith(tuple(given.names))]
    verdicts = [_row(scenario, opt, given.runs, given.at_once) for scenario in wanted]
    return 0 if all(verdict.is_good for verdict in verdicts) else 1


def _row(scenario: Scenario, opt: Path, runs: int, at_once: int) -> Verdict:
    with ThreadPoolExecutor(at_once) as pool:
        verdict = Verdict.all_of(pool.map(lambda seed: scenario.run(seed, opt), range(runs)))
    ledger = "exact" if verdict.is_exact else "WRONG"
    slowest = f"{verdict.slowest_next_s * 1000:.0f} ms"
    print(
        _ROW.format(
            scenario.name,
            runs,
            verdict.failed,
            verdict.lost,
            verdict.duplicates,
            verdict.needless,
            ledger,
            slowest,
        ),
        flush=True,
    )
    for remark in verdict.remarks:
        print(f"    {remark}", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
