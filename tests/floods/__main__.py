"""`python -m tests.floods`: run the flood matrix and print it as a Markdown table."""

import argparse
import itertools
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.receiver.next_timer import NextTimer
from telemetry_forwarder.settings import PREFIX, Settings
from tests.floods.cell import Cell, Reading, measure
from tests.support.opt_tree import assemble

_MEMORY_MB = (128, 512, 1_769)
_LINES = (1_000, 40_000, 100_000)
_FLUSH = ("end", "auto", "every 1 s", "shutdown")
_ENDPOINTS = ("healthy", "hanging")
_COLUMNS = (
    *("memory", "lines", "flush", "endpoint", "timeouts without", "with", "failed"),
    *("seconds without", "longer by, median", "most", "bound", "counts"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if an invocation failed because of the extension, or a record is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.floods", description=__doc__)
    parser.add_argument("--runs", type=int, default=2, help="number of runs of each cell, with and without in turn")
    parser.add_argument("--opt", type=Path, help="the tree to measure; by default this checkout")
    parser.add_argument("--memory", type=int, nargs="*", default=_MEMORY_MB, help="memory sizes of the function in MB")
    parser.add_argument("--lines", type=int, nargs="*", default=_LINES, help="numbers of lines that it prints at once")
    parser.add_argument("--flush", nargs="*", default=_FLUSH, help="values of TELEMETRY_FORWARDER_FLUSH")
    parser.add_argument("--endpoint", nargs="*", default=_ENDPOINTS, choices=_ENDPOINTS, help="states of the endpoint")
    options = parser.parse_args(arguments)
    opt = options.opt or assemble()
    cells = [Cell(*each) for each in itertools.product(options.memory, options.lines, options.flush, options.endpoint)]
    print(f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}", flush=True)
    is_good = True
    for cell in cells:
        readings = [_measured(cell, tree) for _ in range(options.runs) for tree in (None, opt)]
        without, with_it = readings[0::2], readings[1::2]
        print(_row(cell, without, with_it), flush=True)
        for remark in [remark for reading in with_it for remark in reading.remarks]:
            print(f"    {remark}", file=sys.stderr, flush=True)
        is_good &= _is_good(without, with_it)
    return 0 if is_good else 1


def _measured(cell: Cell, opt: Path | None) -> Reading:
    """Measure in a process of its own: what earlier cells left behind takes no time of this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, cell, opt).result()


def _is_good(without: Sequence[Reading], with_it: Sequence[Reading]) -> bool:
    timeouts = sum(reading.timeouts for reading in with_it) - sum(reading.timeouts for reading in without)
    return timeouts <= 0 and all(reading.is_exact and not reading.failures for reading in with_it)


def bound_s(cell: Cell) -> float:
    """Return the budget and twice the margin."""
    environ = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(cell.memory_mb), PREFIX + "FLUSH": cell.flush}
    settings = Settings(environ)
    return settings.flush_budget_ms / 1_000 + 2 * NextTimer(settings, Clock()).margin_s


def _row(cell: Cell, without: Sequence[Reading], with_it: Sequence[Reading]) -> str:
    usual_s = statistics.median([seconds for reading in without for seconds in reading.seconds])
    longer_s = [seconds - usual_s for reading in with_it for seconds in reading.seconds]
    fields = (
        f"{cell.memory_mb} MB",
        f"{cell.lines:,}",
        cell.flush,
        cell.endpoint,
        sum(reading.timeouts for reading in without),
        sum(reading.timeouts for reading in with_it),
        sum(reading.failures for reading in with_it),
        f"{usual_s:.2f}",
        f"{statistics.median(longer_s):.2f}",
        f"{max(longer_s):.2f}",
        f"{bound_s(cell):.2f}",
        "exact" if all(reading.is_exact for reading in with_it) else "WRONG",
    )
    return f"| {' | '.join(map(str, fields))} |"


if __name__ == "__main__":
    sys.exit(main())
