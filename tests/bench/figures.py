"""Figures with their goals, the comparison of two trees, and their table and JSON."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Readings = Mapping[str, Mapping[str, list[float]]]
"""Case -> reading -> one value for each round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A median, and what was measured in the same run to compare it with."""

    name: str
    value: float
    unit: str
    reference: str = ""
    """What was measured for *reference_value*."""
    reference_value: float | None = None
    ratio_quartiles: tuple[float, float, float] | None = None
    """Of the ratios of value to reference in each round: lower quartile, median, upper quartile."""
    goal: str = ""
    """`<= 140` is about the value, `ratio <= 1.6` about the ratio of the value to the reference."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        if self.ratio_quartiles:
            return self.ratio_quartiles[1]
        return self.value / self.reference_value if self.reference_value else None

    @property
    def is_goal_met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if not self.goal:
            return None
        *subject, sign, limit = self.goal.split()
        measured = self.ratio if subject else self.value
        if measured is None:
            return None
        return measured <= float(limit) if sign == "<=" else measured >= float(limit)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def comparison(readings: Readings, trees: Sequence[str], unit: str) -> list[Figure]:
    """Compare the first of two *trees* with the second, case by case; return nothing unless there are two.

    Both ran in the same rounds, so the ratio is taken in each round: what slowed one down slowed down the other.
    """
    if len(trees) != 2:
        return []
    tree, against = trees
    figures = []
    for case in readings:
        words = case.split()
        other = " ".join(against if word == tree else word for word in words)
        if tree in words and other in readings:
            for name, values in readings[case].items():
                figures.append(_compared(f"{name}: {case}", values, readings[other][name], against, unit))
    return figures


def _compared(name: str, values: list[float], reference_values: list[float], reference: str, unit: str) -> Figure:
    ratios = [value / other for value, other in zip(values, reference_values, strict=True) if other]
    quartiles = None
    if ratios:
        # A single round has no quantiles.
        lower, middle, upper = statistics.quantiles(ratios, n=4, method="inclusive") if ratios[1:] else ratios * 3
        quartiles = (lower, middle, upper)
    return Figure(
        name=name,
        value=median(values),
        unit=unit,
        reference=reference,
        reference_value=median(reference_values),
        ratio_quartiles=quartiles,
    )


def table(figures: Iterable[Figure]) -> str:
    rows: list[tuple[str, ...]] = [("figure", "value", "reference", "ratio", "quartiles", "goal", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(figure: Figure) -> tuple[str, ...]:
    reference = f"{figure.reference} {figure.reference_value:.4g}" if figure.reference_value else ""
    verdict = {True: "met", False: "NOT MET", None: ""}[figure.is_goal_met]
    quartiles = figure.ratio_quartiles
    return (
        figure.name,
        f"{figure.value:.4g} {figure.unit}",
        reference,
        "" if figure.ratio is None else f"{figure.ratio:.3f}" if quartiles else f"{figure.ratio:.2f}",
        f"{quartiles[0]:.3f} to {quartiles[2]:.3f}" if quartiles else "",
        figure.goal,
        " ".join(filter(None, (verdict, figure.note))),
    )


def save_results(path: Path, figures: Iterable[Figure]) -> None:
    """Write *figures* into the JSON file, replacing older ones of the same name."""
    known = {entry["name"]: entry for entry in load_results(path)}
    known.update({figure.name: asdict(figure) for figure in figures})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(known.values()), indent=1) + "\n")


def load_results(path: Path) -> list[dict[str, object]]:
    try:
        return list(json.loads(path.read_text()))
    except (OSError, ValueError):
        return []
