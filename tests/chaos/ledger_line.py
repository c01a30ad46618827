"""Parses the ledger that the extension logs at the end."""

import re
from collections import Counter
from dataclasses import dataclass, field

_PART = re.compile(r"(?P<signal>logs|traces|metrics) (?P<counts>received .*)")
_REASONS = re.compile(r"(dropped|filtered) (\d+)(?: \(([^)]*)\))?")


@dataclass(frozen=True)
class SignalLedger:
    """The counts of one signal."""

    signal: str
    counts: dict[str, int]
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def __getitem__(self, place: str) -> int:
        return self.counts.get(place, 0)

    @property
    def is_exact(self) -> bool:
        """Whether every item is accounted for, and none is left in the memory of the process that ended."""
        accounted = sum(self[place] for place in ("delivered", "rejected", "dropped", "spooled"))
        return self["received"] + self["restored"] == accounted and not self["held"]


def is_ledger_line(line: str) -> bool:
    return " records received " in line


def parse(line: str) -> dict[str, SignalLedger]:
    """Return the ledger of each signal."""
    parts = [_PART.search(part) for part in line.split("; ")[1:]]
    return {part["signal"]: _parse_counts(part["signal"], part["counts"]) for part in parts if part}


def _parse_counts(signal: str, text: str) -> SignalLedger:
    dropped: Counter[str] = Counter()
    for word, _, reasons in _REASONS.findall(text):
        for reason in filter(None, reasons.split(", ")) if word == "dropped" else ():
            name, _, count = reason.rpartition(" ")
            dropped[name] += int(count)
    plain = re.sub(r" \([^)]*\)", "", text)
    counts = {word: int(count) for word, count in re.findall(r"(\w+) (\d+)", plain)}
    return SignalLedger(signal, counts, dropped)
