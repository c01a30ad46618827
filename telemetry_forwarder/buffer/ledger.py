"""Counts where every item is: received, held, spooled, delivered, rejected or dropped, and why.

Items only move from one place to another, so at all times and for each signal
received + restored = delivered + rejected + dropped + held + spooled. Written by the thread that has the ownership.
"""

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from telemetry_forwarder.core.batch import POSTS, SIGNALS
from telemetry_forwarder.core.frozen import frozen

_NONE: Mapping[str, int] = MappingProxyType({})
_COUNTS = ("received", "restored", "delivered", "rejected", "held", "spooled")


@frozen
class Tally:
    """The items of one signal since this process started: log records, spans or data points."""

    signal: str
    received: int = 0
    """Created in this process from Lambda's telemetry."""
    restored: int = 0
    """Found on disk, spooled by an earlier process in this environment."""
    delivered: int = 0
    rejected: int = 0
    """Rejected by the endpoint in a request that it accepted: OTLP's partial success."""
    held: int = 0
    """In memory: in the outbox or in a running request."""
    spooled: int = 0
    dropped: Mapping[str, int] = _NONE
    """By reason."""
    filtered: Mapping[str, int] = _NONE
    """By reason: not exported by a setting, as duplicates or as own log lines. They do not count as received."""

    @property
    def all_dropped(self) -> int:
        return sum(self.dropped.values())

    @property
    def unaccounted(self) -> int:
        """The number of items that are missing from the counts; zero unless the ledger is wrong."""
        counted = self.delivered + self.rejected + self.all_dropped + self.held + self.spooled
        return self.received + self.restored - counted

    @property
    def is_exact(self) -> bool:
        """Whether every item is counted once, and none left a place that it had not entered."""
        return self.unaccounted == 0 and min(self.held, self.spooled) >= 0


@frozen
class Snapshot:
    """The counts at one moment."""

    tallies: tuple[Tally, ...]
    posts: Tally
    """Posts that were spooled unconverted, found on disk or dropped; `delivered` counts those that were converted."""

    def of(self, signal: str) -> Tally:
        return self.tallies[SIGNALS.index(signal)]

    @property
    def is_exact(self) -> bool:
        return all(tally.is_exact for tally in (*self.tallies, self.posts))


class Ledger:
    """Each method records one movement, so that the counts stay balanced. The attributes only grow."""

    def __init__(self) -> None:
        self.records_received = 0
        """Telemetry records that Lambda sent."""
        self.records_lost_by_lambda = 0
        """Records that Lambda reported as dropped before it sent them."""
        self.posts_refused = 0
        """Posts that found no room. Lambda sends them again, or reports that it dropped them."""
        self.posts_foreign = 0
        """Posts of other processes than Lambda, which were refused."""
        self.duplicate_posts = 0
        """Posts that Lambda sent again. Their records are counted once."""
        kinds = (*SIGNALS, POSTS)
        self._counts = {kind: dict.fromkeys(_COUNTS, 0) for kind in kinds}
        self._dropped: dict[str, defaultdict[str, int]] = {kind: defaultdict(int) for kind in kinds}
        self._filtered: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By signal and reason."""

    def filtered(self, signal: str, count: int, reason: str) -> None:
        """Count records that a setting keeps out of *signal*."""
        self._filtered[signal, reason] += count

    def received(self, signal: str, count: int) -> None:
        """Count items that were created in memory."""
        self._counts[signal]["received"] += count
        self._counts[signal]["held"] += count

    def restored(self, signal: str, count: int) -> None:
        """Count items that an earlier process left on disk."""
        self._counts[signal]["restored"] += count
        self._counts[signal]["spooled"] += count

    def spooled(self, signal: str, count: int) -> None:
        """Move items from memory to disk."""
        self._move(signal, count, "spooled")

    def unspooled(self, signal: str, count: int) -> None:
        """Move items from disk to memory. Their file may stay until the endpoint has acknowledged them."""
        self._move(signal, -count, "spooled")

    def delivered(self, signal: str, count: int) -> None:
        """Move items from memory to the endpoint, which accepted them."""
        self._move(signal, count, "delivered")

    def rejected(self, signal: str, count: int) -> None:
        """Move items from memory to those that the endpoint rejected in a request that it accepted."""
        self._move(signal, count, "rejected")

    def dropped(self, signal: str, count: int, reason: str) -> None:
        """Remove items from memory for good."""
        self._counts[signal]["held"] -= count
        self._dropped[signal][reason] += count

    def post_conversion_failed(self) -> None:
        """Count a post whose rest was dropped because of an internal error; how many records that were is unknown."""
        self.received(POSTS, 1)
        self.dropped(POSTS, 1, "conversion failed")

    def add_records_of(self, conversion: "Ledger") -> None:
        """Move what *conversion* has counted of records here: received, lost by Lambda and filtered."""
        self.records_received += conversion.records_received
        self.records_lost_by_lambda += conversion.records_lost_by_lambda
        conversion.records_received = conversion.records_lost_by_lambda = 0
        for key, count in conversion._filtered.items():  # noqa: SLF001  # of the same class
            self._filtered[key] += count
        conversion._filtered.clear()  # noqa: SLF001

    def snapshot(self) -> Snapshot:
        return Snapshot(tuple([self._tally(signal) for signal in SIGNALS]), self._tally(POSTS))

    def summary(self, *, unstored_posts: int = 0) -> str:
        """Return the counts as one log line. *unstored_posts*: those in memory that no step has begun to store."""
        posts = self._tally(POSTS)
        words = [
            f"records received {self.records_received}",
            *_if_any("lost by Lambda", self.records_lost_by_lambda),
            *_if_any("posts dropped", posts.all_dropped, posts.dropped),
            *_if_any("posts restored", posts.restored),
            *_if_any("posts held", posts.held + unstored_posts),
            *_if_any("posts spooled", posts.spooled),
            *_if_any("posts refused for now", self.posts_refused),
            *_if_any("foreign posts refused", self.posts_foreign),
            *_if_any("duplicate posts", self.duplicate_posts),
        ]
        return "; ".join([" ".join(words), *(_tally_summary(self._tally(signal)) for signal in SIGNALS)])

    def _move(self, signal: str, count: int, place: str) -> None:
        self._counts[signal]["held"] -= count
        self._counts[signal][place] += count

    def _tally(self, signal: str) -> Tally:
        filtered = {reason: count for (kind, reason), count in self._filtered.items() if kind == signal}
        return Tally(signal=signal, **self._counts[signal], dropped=dict(self._dropped[signal]), filtered=filtered)


def _tally_summary(tally: Tally) -> str:
    words = [
        f"{tally.signal} received {tally.received}",
        *_if_any("restored", tally.restored),
        f"delivered {tally.delivered}",
        *_if_any("rejected", tally.rejected),
        f"dropped {tally.all_dropped}{_reasons(tally.dropped)}",
        f"held {tally.held} spooled {tally.spooled}",
        *_if_any("filtered", sum(tally.filtered.values()), tally.filtered),
    ]
    return " ".join(words)


def _if_any(name: str, count: int, reasons: Mapping[str, int] = _NONE) -> list[str]:
    return [f"{name} {count}{_reasons(reasons)}"] if count else []


def _reasons(counts: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    return f" ({reasons})" if reasons else ""
