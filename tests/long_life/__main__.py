"""`python -m tests.long_life`: a simulated day, five million records, random faults."""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.long_life.life import Life, run
from tests.support.opt_tree import assemble

_ROW = "{:>6} {:>9} {:>11} {:>9} {:>12} {:>8}"
_ROWS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if something is wrong with the counts or has grown."""
    parser = argparse.ArgumentParser(prog="python -m tests.long_life", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="simulated time")
    parser.add_argument("--records", type=int, default=5_000_000, help="number of lines that are logged in that time")
    parser.add_argument("--seed", type=int, default=1, help="determines the random faults")
    options = parser.parse_args(arguments)
    started_s = time.monotonic()
    life = run(assemble(), simulated_s=options.hours * 3_600, lines=options.records, seed=options.seed)
    if all(books.ledgers for books in life.books):
        print(table(life))
    print(f"{time.monotonic() - started_s:.0f} s")
    for problem in life.problems:
        print(f"WRONG: {problem}")
    return 1 if life.problems else 0


def table(life: Life) -> str:
    """Return the usage over time, and the counts."""
    lines = [_ROW.format("hour", "processes", "records", "RSS (MB)", "descriptors", "threads")]
    step = max(1, len(life.samples) // _ROWS)
    for first in range(0, len(life.samples), step):
        part = life.samples[first : first + step]
        most = [max(getattr(each.usage, name) for each in part) for name in ("rss_kb", "descriptors", "threads")]
        last = part[-1]
        lines.append(
            _ROW.format(f"{last.at_s / 3_600:.1f}", last.processes, last.records, f"{most[0] / 1024:.1f}", *most[1:])
        )
    lines.append(
        f"{life.invocations} invocations, {len(life.books)} processes, {life.outages} outages, "
        f"{life.steps} clock steps, {life.sent} records sent, {sum(each.records for each in life.books)} received"
    )
    for signal, accepted in life.accepted.items():
        counts = {place: life.total(signal, place) for place in ("received", "restored", "delivered", "dropped")}
        left = life.books[-1].ledgers[signal]["spooled"]
        words = " ".join(f"{place} {count}" for place, count in counts.items())
        lines.append(f"{signal}: {words} left {left}; the endpoint accepted {accepted}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
