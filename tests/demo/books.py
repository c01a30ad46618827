"""Compares what the extension says it delivered with what arrived. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.demo.story import Message
from tests.support.otlp_messages import LOGS, METRICS, SPANS, count

_PATHS = {"logs": LOGS, "traces": SPANS, "metrics": METRICS}
NAMES = {"logs": "log records", "traces": "spans", "metrics": "data points"}


@dataclass(frozen=True, slots=True)
class Account:
    """The items of one signal. `arrived` is what the receiver has, the rest what the extension's ledger says."""

    received: int = 0
    delivered: int = 0
    held: int = 0
    dropped: int = 0
    arrived: int = 0

    @property
    def is_balanced(self) -> bool:
        return self.received == self.delivered == self.arrived and not self.held and not self.dropped


@dataclass(frozen=True, slots=True)
class Books:
    """The accounts by signal, and the events that Lambda sent and the extension received."""

    accounts: Mapping[str, Account]
    events_sent: int
    events_received: int

    @property
    def awaits_arrival(self) -> bool:
        """Whether less has arrived than was delivered."""
        return any(account.arrived < account.delivered for account in self.accounts.values())

    @property
    def problems(self) -> list[str]:
        """Return what is wrong, in plain words; empty if the receiver has everything."""
        if not self.events_received:
            return ["the extension has logged no ledger"]
        problems = [
            f"{NAMES[signal]}: received {account.received}, delivered {account.delivered}, held {account.held}, "
            f"dropped {account.dropped}, at the receiver {account.arrived}"
            for signal, account in self.accounts.items()
            if not account.is_balanced
        ]
        if self.events_sent != self.events_received:
            problems.append(f"Lambda sent {self.events_sent} events, the extension received {self.events_received}")
        return problems

    def __str__(self) -> str:
        def total(name: str) -> int:
            return sum(getattr(account, name) for account in self.accounts.values())

        return "ledger: " + " ".join(f"{name} {total(name)}" for name in ("received", "delivered", "held", "dropped"))


def is_ledger(line: str) -> bool:
    """Return whether *line*, which the extension has logged, is its ledger."""
    return "records received" in line


def balance(extension_output: Iterable[str], messages: Iterable[Message], *, events_sent: int) -> Books:
    """Return the books of all processes of the extension: each logs its ledger when it ends."""
    ledgers = [line for line in extension_output if is_ledger(line)]
    arrived: Counter[str] = Counter()
    for path, message in messages:
        arrived[path] += count(message)
    return Books(
        {signal: _account(signal, ledgers, arrived[path]) for signal, path in _PATHS.items()},
        events_sent,
        sum(int(number) for line in ledgers for number in re.findall(r"records received (\d+)", line)),
    )


def _account(signal: str, ledgers: Iterable[str], arrived: int) -> Account:
    counts: Counter[str] = Counter()
    for line in ledgers:
        for part in line.split("; "):
            if part.startswith(f"{signal} "):
                # What was left out by a setting, in parentheses with its reasons, was never received.
                for name, number in re.findall(r"(\w+) (\d+)", re.sub(r"\(.*?\)", "", part)):
                    counts[name] += int(number)
    # What one process stored on disk, the next one has restored.
    held = counts["held"] + counts["spooled"] - counts["restored"]
    dropped = counts["dropped"] + counts["rejected"]
    return Account(counts["received"], counts["delivered"], held, dropped, arrived)
