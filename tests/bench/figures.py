"""What a benchmark found: figures, the goals they are held against, the table and the JSON that show them."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A median, and beside it what was measured in the same run to compare it with."""

    name: str
    value: float
    unit: str
    reference: str = ""
    """What *reference_value* is of."""
    reference_value: float | None = None
    goal: str = ""
    """`<= 140` is about the value, `ratio <= 1.6` about the value by the reference."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.reference_value if self.reference_value else None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if not self.goal:
            return None
        *about, sign, limit = self.goal.split()
        measured = self.ratio if about else self.value
        if measured is None:
            return None
        return measured <= float(limit) if sign == "<=" else measured >= float(limit)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def table(figures: Iterable[Figure]) -> str:
    rows = [("figure", "value", "reference", "ratio", "goal", "")]
    for figure in figures:
        ratio = figure.ratio
        reference = f"{figure.reference} {figure.reference_value:.4g}" if figure.reference_value else ""
        verdict = {True: "holds", False: "DOES NOT HOLD", None: ""}[figure.holds]
        rows.append(
            (
                figure.name,
                f"{figure.value:.4g} {figure.unit}",
                reference,
                "" if ratio is None else f"{ratio:.2f}",
                figure.goal,
                " ".join(filter(None, (verdict, figure.note))),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def write(path: Path, figures: Iterable[Figure]) -> None:
    """Enter *figures* into the JSON file, in place of older ones of the same name."""
    known = {entry["name"]: entry for entry in read(path)}
    known.update({figure.name: asdict(figure) for figure in figures})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(known.values()), indent=1) + "\n")


def read(path: Path) -> list[dict[str, object]]:
    try:
        return list(json.loads(path.read_text()))
    except (OSError, ValueError):
        return []
