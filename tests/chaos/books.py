"""The extension's closing line, read back: what it says that it did."""

import re
from collections import Counter
from dataclasses import dataclass, field

_PART = re.compile(r"(?P<signal>logs|traces|metrics) (?P<counts>received .*)")
_REASONS = re.compile(r"(dropped|filtered) (\d+)(?: \(([^)]*)\))?")


@dataclass(frozen=True)
class Books:
    """One signal's line in the books of one life."""

    signal: str
    counts: dict[str, int]
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def __getitem__(self, place: str) -> int:
        return self.counts.get(place, 0)

    @property
    def is_exact(self) -> bool:
        """Everything is somewhere, and nothing is left in a memory that is gone."""
        there = sum(self[place] for place in ("delivered", "rejected", "dropped", "spooled"))
        return self["received"] + self["restored"] == there and not self["held"]


def is_books(line: str) -> bool:
    return " records received " in line


def read(line: str) -> dict[str, Books]:
    """The books of each signal."""
    parts = [_PART.search(part) for part in line.split("; ")[1:]]
    return {part["signal"]: _books(part["signal"], part["counts"]) for part in parts if part}


def _books(signal: str, said: str) -> Books:
    dropped: Counter[str] = Counter()
    for word, _, reasons in _REASONS.findall(said):
        for reason in filter(None, reasons.split(", ")) if word == "dropped" else ():
            name, _, count = reason.rpartition(" ")
            dropped[name] += int(count)
    plain = re.sub(r" \([^)]*\)", "", said)
    return Books(signal, {word: int(count) for word, count in re.findall(r"(\w+) (\d+)", plain)}, dropped)
