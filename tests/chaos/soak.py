"""A million records through the real process: does its memory stay flat, are the books exact?"""

import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.books import is_books, read
from tests.chaos.run import TASK
from tests.emulator import Lambda
from tests.support.collector import FakeCollector
from tests.support.otlp_messages import LOGS

_LINES = 5_000
_EXTENSION = "telemetry-forwarder"


@dataclass(frozen=True)
class Soak:
    """What came of it."""

    lines: int
    """That the function said."""
    failed: int
    arrived: int
    """Log records; beside the lines those of the extensions' states."""
    is_exact: bool
    seconds: float
    rss_kb: tuple[int, ...]
    """After each invocation."""

    @property
    def later_kb(self) -> tuple[int, ...]:
        """Without the first tenth."""
        return self.rss_kb[len(self.rss_kb) // 10 :]

    @property
    def slope_kb(self) -> float:
        """By which the memory grows with 100,000 records, after the first tenth."""
        slope, _ = statistics.linear_regression(range(len(self.later_kb)), self.later_kb)
        return slope * 100_000 / _LINES

    def __str__(self) -> str:
        first, last = self.later_kb[0], self.later_kb[-1]
        return (
            f"soak: {self.lines} lines in {self.seconds:.0f} s, {self.arrived} records arrived, "
            f"{self.failed} invocations failed, ledger {'exact' if self.is_exact else 'WRONG'}\n"
            f"      memory {first} KB after a tenth, {last} KB at the end, "
            f"between {min(self.later_kb)} and {max(self.later_kb)} KB; "
            f"{self.slope_kb:+.0f} KB for each 100,000 records"
        )


def soak(opt: Path, lines: int) -> Soak:
    started_s = time.monotonic()
    rss_kb = []
    with FakeCollector(remember=False) as collector, tempfile.TemporaryDirectory() as spool:
        env = {
            "TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint,
            "TELEMETRY_FORWARDER_SPOOL_DIR": spool,
        }
        function = Lambda(opt=opt, task=TASK, env=env, remember=False, timeout_s=30.0)
        failed = 0
        with function:
            for _ in range(lines // _LINES):
                failed += not function.invoke({"flood": _LINES}).is_success
                rss_kb.append(_rss_kb(function.pids()[_EXTENSION]))
            function.shutdown()
        (books,) = [read(line) for line in function.extension_output if is_books(line)]
        arrived = collector.accepted(LOGS)
    return Soak(
        lines=len(rss_kb) * _LINES,
        failed=failed,
        arrived=arrived,
        is_exact=all(each.is_exact for each in books.values())
        and books["logs"]["delivered"] == arrived
        and arrived + books["logs"]["filtered"] == function.counts["delivered"],
        seconds=time.monotonic() - started_s,
        rss_kb=tuple(rss_kb),
    )


def _rss_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
