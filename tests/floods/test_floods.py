"""A small part of the flood matrix. Judged by CPU time, which a busy machine hardly changes."""

from pathlib import Path

import pytest

from tests.floods.__main__ import bound_s, main
from tests.floods.cell import Cell, measure


@pytest.mark.parametrize(("flush", "endpoint"), [("end", "healthy"), ("every 1 s", "healthy"), ("shutdown", "hanging")])
def test_flood_takes_little_time_of_a_small_function_and_nothing_is_lost(opt: Path, flush: str, endpoint: str) -> None:
    """To convert 60,000 lines takes 0.3 s of a CPU: 4 s with 128 MB of memory."""
    cell = Cell(128, 60_000, flush, endpoint, timeout_s=30.0)

    reading = measure(cell, opt)

    assert (reading.timeouts, reading.failures, reading.is_exact) == (0, 0, True), reading.remarks
    # Twice, because CPU time is measured with cold caches, and includes the reception of the posts.
    assert max(reading.cpu_s) < 2 * bound_s(cell) * 128 / 1_769


def test_table_has_a_row_for_each_cell(opt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = ["--memory", "1769", "--lines", "100", "--flush", "end", "--endpoint", "healthy"]

    code = main(["--opt", str(opt), "--runs", "1", *cell])

    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| 1769 MB | 100 | end | healthy | 0 | 0 | 0 | ")
    assert (code, len(lines), lines[2].endswith(" | exact |")) == (0, 3, True)
