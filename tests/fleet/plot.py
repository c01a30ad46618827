"""Draws the request rate of some scenarios over time as SVG."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.fleet.scenarios import BACKLOG_EVERY_S, END_AT, FAULT_AT, RECOVERY_AT, Result

FILE = Path(__file__).with_name("fleet.svg")
_WIDTH, _LEFT, _PLOT, _HEIGHT, _TOP = 720, 60, 560, 110, 34
_STEP_S = 5
_MOST = 4.0


def draw(results: Sequence[Result], file: Path = FILE) -> None:
    """Draw one row for each of *results*: the rate as a multiple of the steady rate, and the backlog."""
    height = _TOP + _HEIGHT * len(results) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="20" font-weight="bold">Requests per second as a multiple of the steady rate (blue), '
        "and backlog (grey)</text>",
    ]
    for number, result in enumerate(results):
        lines += _row(result, _TOP + _HEIGHT * number)
    lines += [
        f'<text x="10" y="{height - 8}" font-size="11" fill="#666">python -m tests.fleet; grey area: the collector '
        f"fails, from {FAULT_AT} to {RECOVERY_AT} s</text>",
        "</svg>",
        "",
    ]
    file.write_text("\n".join(lines))


def _row(result: Result, top: int) -> list[str]:
    bottom, full = top + _HEIGHT - 20, _HEIGHT - 30
    rates = [
        sum(result.requests[second : second + _STEP_S]) / _STEP_S / result.steady_per_s / _MOST
        for second in range(0, END_AT, _STEP_S)
    ]
    most = max(*result.backlog, 1)
    backlog = [items / most for items in result.backlog]
    start, end = _x(FAULT_AT), _x(RECOVERY_AT)
    twice = bottom - full * 2 / _MOST
    return [
        f'<rect x="{start:.0f}" y="{bottom - full}" width="{end - start:.0f}" height="{full}" fill="#f3f3f3"/>',
        _line(backlog, BACKLOG_EVERY_S, bottom, full, "#b0b0b0"),
        _line(rates, _STEP_S, bottom, full, "#1f77b4"),
        f'<path d="M{_LEFT} {twice}H{_LEFT + _PLOT}" stroke="#d62728" stroke-dasharray="4"/>',
        f'<path d="M{_LEFT} {bottom}H{_LEFT + _PLOT}" stroke="black"/>',
        f'<text x="{_LEFT - 6}" y="{twice + 4}" text-anchor="end">2</text>',
        f'<text x="{_LEFT - 6}" y="{bottom + 4}" text-anchor="end">0</text>',
        f'<text x="{_LEFT + _PLOT + 8}" y="{bottom - full + 12}">{escape(result.name)}</text>',
    ]


def _x(second: float) -> float:
    return _LEFT + _PLOT * second / END_AT


def _line(values: Sequence[float], step_s: int, bottom: int, full: int, colour: str) -> str:
    points = [f"{_x(number * step_s):.1f},{bottom - full * min(value, 1.0):.1f}" for number, value in enumerate(values)]
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}"/>'
