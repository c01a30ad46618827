"""Sends a million records through one process to check that memory stays flat and the ledger is exact."""

import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.ledger_line import is_ledger_line, parse
from tests.emulator import Lambda
from tests.support.collector import FakeCollector
from tests.support.otlp_messages import LOGS
from tests.support.paths import FUNCTIONS

_LINES = 5_000
_EXTENSION = "telemetry-forwarder"


@dataclass(frozen=True)
class SoakResult:
    """The result of a soak run."""

    lines: int
    """Printed by the function."""
    failed: int
    arrived: int
    """Log records, which include those of platform events."""
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
        """Growth of the memory with 100,000 records, after the first tenth."""
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


def run_soak(opt: Path, lines: int, *, user: int | None = None) -> SoakResult:
    started_s = time.monotonic()
    rss_kb = []
    with FakeCollector(remember=False) as collector, tempfile.TemporaryDirectory() as spool:
        Path(spool).chmod(0o1777)
        env = {"TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint, "TELEMETRY_FORWARDER_SPOOL_DIR": spool}
        function = Lambda(opt=opt, task=FUNCTIONS, env=env, remember=False, timeout_s=30.0, extension_user=user)
        failed = 0
        with function:
            for _ in range(lines // _LINES):
                failed += not function.invoke({"flood": _LINES}).is_success
                rss_kb.append(_rss_kb(function.pids()[_EXTENSION]))
            function.shutdown()
        (ledgers,) = [parse(line) for line in function.extension_output if is_ledger_line(line)]
        arrived = collector.accepted(LOGS)
    return SoakResult(
        lines=len(rss_kb) * _LINES,
        failed=failed,
        arrived=arrived,
        is_exact=all(each.is_exact for each in ledgers.values())
        and ledgers["logs"]["delivered"] == arrived
        and arrived + ledgers["logs"]["filtered"] == function.counts["delivered"],
        seconds=time.monotonic() - started_s,
        rss_kb=tuple(rss_kb),
    )


def _rss_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
