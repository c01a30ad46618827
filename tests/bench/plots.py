"""Draws the bar charts of the documentation as SVG."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.bench.figures import load_results

FOLDER = Path(__file__).with_name("plots")
_WIDTH, _LABEL, _ROW, _TOP = 720, 250, 26, 34
_OURS, _OTHER = "#1f77b4", "#b0b0b0"

# Title, unit, and for each bar: label, figure, whether the figure's reference is shown, whether it is our extension.
_Bar = tuple[str, str, bool, bool]
_PLOTS: dict[str, tuple[str, str, Sequence[_Bar]]] = {
    "startup": (
        "Start-up",
        "ms",
        (
            ("bare interpreter", "exec to register: checkout", True, False),
            ("this extension, until register", "exec to register: checkout", False, True),
            ("this extension, until next", "exec to first next, background: checkout", False, True),
            ("this extension, CPU until warm", "CPU until warm: checkout", False, True),
            (
                "tutorial extension, until register",
                "tutorial extension's exec to register, compared with ours: checkout",
                False,
                False,
            ),
        ),
    ),
    "records": (
        "CPU per log record, socket to gzip OTLP, batches of 1,000",
        "us",
        (
            ("text line", "CPU per record: text 1000 checkout", False, True),
            ("JSON line of 6 keys", "CPU per record: json 1000 checkout", False, True),
            ("mixed", "CPU per record: mixed 1000 checkout", False, True),
            ("text line by the SDK and its exporter", "CPU per record: text 1000 sdk", False, False),
            ("JSON line by the SDK and its exporter", "CPU per record: json 1000 sdk", False, False),
        ),
    ),
    "memory": (
        "Resident memory",
        "MB",
        (
            ("warm", "RSS warm: checkout", False, True),
            ("after 1,000,000 records", "RSS after 1,000,000 records: checkout", False, True),
            ("at most, bodies of 4 MB", "peak RSS with 4 MB bodies: checkout", False, True),
            ("tutorial extension, warm", "RSS warm: checkout", True, False),
        ),
    ),
}


def draw(name: str, results: Path, folder: Path = FOLDER) -> None:
    """Draw the plot *name*, if there is one, from the JSON of results."""
    if name not in _PLOTS:
        return
    title, unit, bars = _PLOTS[name]
    results_by_name = {str(entry["name"]): entry for entry in load_results(results)}
    rows = [
        (label, float(str(results_by_name[figure]["reference_value" if is_reference else "value"])), is_ours)
        for label, figure, is_reference, is_ours in bars
        if figure in results_by_name
    ]
    folder.mkdir(exist_ok=True)
    command = f"python -m tests.bench {name}"
    (folder / f"{name}.svg").write_text(svg(f"{title} ({unit})", rows, command))


def svg(title: str, rows: Sequence[tuple[str, float, bool]], command: str) -> str:
    """Return horizontal bars; those of our extension are coloured."""
    height = _TOP + _ROW * len(rows) + 24
    most = max((value for _, value, _ in rows), default=1.0)
    scale = (_WIDTH - _LABEL - 80) / most
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (label, value, is_ours) in enumerate(rows):
        y = _TOP + _ROW * number
        lines += [
            f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{_LABEL}" y="{y + 2}" width="{max(1.0, value * scale):.1f}" height="{_ROW - 8}" '
            f'fill="{_OURS if is_ours else _OTHER}"/>',
            f'<text x="{_LABEL + max(1.0, value * scale) + 6:.1f}" y="{y + 15}">{value:.3g}</text>',
        ]
    lines += [f'<text x="10" y="{height - 8}" font-size="11" fill="#666">{escape(command)}</text>', "</svg>", ""]
    return "\n".join(lines)
