"""Counts where every item is: received, held, spooled, delivered, rejected or dropped, and why.

Items only move from one place to another, so at all times and for each signal
received + restored = delivered + rejected + dropped + held + spooled. Written by the worker's thread alone.
"""

from collections.abc import Mapping
from types import MappingProxyType

from telemetry_forwarder.core.batch import POSTS, SIGNALS
from telemetry_forwarder.core.frozen import frozen

_NOT_READ = "could not be read"

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
    """By reason: records that a setting keeps out of this signal. They do not count as received."""

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

    records_received: int
    """Telemetry records that Lambda sent."""
    records_lost_by_lambda: int
    """Records that Lambda reported as dropped before it sent them."""
    tallies: tuple[Tally, ...]
    posts: Tally
    """Posts that were spooled unconverted or found on disk; `delivered` counts those that were converted."""

    def of(self, signal: str) -> Tally:
        return self.tallies[SIGNALS.index(signal)]

    @property
    def is_exact(self) -> bool:
        return all(tally.is_exact for tally in (*self.tallies, self.posts))


class Ledger:
    """Each method records one movement, so that the counts stay balanced."""

    __slots__ = (
        "_counts",
        "_dropped",
        "_duplicate_posts",
        "_filtered",
        "_posts_dropped",
        "_posts_refused",
        "_records_lost_by_lambda",
        "_records_received",
    )

    def __init__(self) -> None:
        self._records_received = 0
        self._records_lost_by_lambda = 0
        self._posts_dropped = 0
        self._posts_refused = 0
        self._duplicate_posts = 0
        kinds = (*SIGNALS, POSTS)
        self._counts = {kind: dict.fromkeys(_COUNTS, 0) for kind in kinds}
        self._dropped: dict[str, dict[str, int]] = {kind: {} for kind in kinds}
        self._filtered: dict[str, dict[str, int]] = {kind: {} for kind in kinds}

    def records_received(self, count: int) -> None:
        self._records_received += count

    def records_lost_by_lambda(self, count: int) -> None:
        self._records_lost_by_lambda += count

    def posts_dropped(self, count: int) -> None:
        """Count posts that could not be read because of an internal error; their records are unknown."""
        self._posts_dropped += count

    def posts_refused(self, count: int) -> None:
        """Count posts that found no room. Lambda sends them again, or reports that it dropped them."""
        self._posts_refused += count

    def duplicate_posts(self, count: int) -> None:
        """Count posts that Lambda sent again. Their records are counted once."""
        self._duplicate_posts += count

    def filtered(self, signal: str, count: int, reason: str) -> None:
        """Count records that a setting keeps out of *signal*."""
        _add(self._filtered[signal], reason, count)

    def received(self, signal: str, count: int) -> None:
        """Count items that were created in memory."""
        _add(self._counts[signal], "received", count)
        _add(self._counts[signal], "held", count)

    def restored(self, signal: str, count: int) -> None:
        """Count items that an earlier process left on disk."""
        _add(self._counts[signal], "restored", count)
        _add(self._counts[signal], "spooled", count)

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
        _add(self._counts[signal], "held", -count)
        _add(self._dropped[signal], reason, count)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            records_received=self._records_received,
            records_lost_by_lambda=self._records_lost_by_lambda,
            tallies=tuple(self._tally(signal) for signal in SIGNALS),
            posts=self._tally(POSTS),
        )

    def summary(self) -> str:
        """Return the counts as one log line."""
        snapshot = self.snapshot()
        posts = snapshot.posts
        not_read = {_NOT_READ: self._posts_dropped} if self._posts_dropped else _NONE
        optional: list[tuple[str, int, Mapping[str, int]]] = [
            ("lost by Lambda", snapshot.records_lost_by_lambda, _NONE),
            ("posts dropped", self._posts_dropped + posts.all_dropped, {**posts.dropped, **not_read}),
            ("posts restored", posts.restored, _NONE),
            ("posts spooled", posts.spooled, _NONE),
            ("posts refused for now", self._posts_refused, _NONE),
            ("duplicate posts", self._duplicate_posts, _NONE),
        ]
        words = [f"{name} {count}{_reasons(reasons)}" for name, count, reasons in optional if count]
        records = " ".join([f"records received {snapshot.records_received}", *words])
        return "; ".join([records, *map(_tally_summary, snapshot.tallies)])

    def _move(self, signal: str, count: int, place: str) -> None:
        _add(self._counts[signal], "held", -count)
        _add(self._counts[signal], place, count)

    def _tally(self, signal: str) -> Tally:
        dropped, filtered = dict(self._dropped[signal]), dict(self._filtered[signal])
        return Tally(signal=signal, **self._counts[signal], dropped=dropped, filtered=filtered)


def _add(counts: dict[str, int], reason: str, count: int) -> None:
    counts[reason] = counts.get(reason, 0) + count


def _tally_summary(tally: Tally) -> str:
    words = [f"{tally.signal} received {tally.received}"]
    if tally.restored:
        words.append(f"restored {tally.restored}")
    words.append(f"delivered {tally.delivered}")
    if tally.rejected:
        words.append(f"rejected {tally.rejected}")
    words.append(f"dropped {tally.all_dropped}{_reasons(tally.dropped)}")
    words.append(f"held {tally.held} spooled {tally.spooled}")
    if tally.filtered:
        words.append(f"filtered {sum(tally.filtered.values())}{_reasons(tally.filtered)}")
    return " ".join(words)


def _reasons(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    return " (" + ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items())) + ")"
