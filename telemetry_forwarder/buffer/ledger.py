"""Knows where every item is: with us, with the endpoint, on disk, or lost and why.

Items only move from one place to another, so at every moment and for every signal
received + restored = delivered + rejected + dropped + held + spooled. The worker alone writes in it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from telemetry_forwarder.core.batch import POSTS, SIGNALS
from telemetry_forwarder.core.frozen import frozen

NOT_READ = "could not be read"

_NONE: Mapping[str, int] = MappingProxyType({})


@frozen
class Tally:
    """One signal's items since this process began: log records, spans or data points."""

    signal: str
    received: int = 0
    """Made here, from what Lambda told us."""
    restored: int = 0
    """Found on disk, spooled by an earlier life of this environment."""
    delivered: int = 0
    rejected: int = 0
    """Refused by the endpoint within a request that it took: OTLP's partial success."""
    held: int = 0
    """In memory: in the outbox, or in a request that is under way."""
    spooled: int = 0
    dropped: Mapping[str, int] = _NONE
    """By reason."""
    filtered: Mapping[str, int] = _NONE
    """By reason: records that a setting keeps out of this signal. They were never received for it."""

    @property
    def all_dropped(self) -> int:
        return sum(self.dropped.values())

    @property
    def unaccounted(self) -> int:
        """Zero, or the books are wrong."""
        there = self.delivered + self.rejected + self.all_dropped + self.held + self.spooled
        return self.received + self.restored - there

    @property
    def is_exact(self) -> bool:
        """Whether everything is accounted for, and nothing has left a place that it had not entered."""
        return self.unaccounted == 0 and min(self.held, self.spooled) >= 0


@frozen
class Snapshot:
    """The books at one moment."""

    records_received: int
    """Telemetry records that Lambda gave us."""
    records_lost_by_lambda: int
    """What Lambda says that it dropped before we saw it."""
    tallies: tuple[Tally, ...]
    posts: Tally
    """Those that were written down for want of time, or found on disk: `delivered` are those that were converted."""

    def of(self, signal: str) -> Tally:
        return self.tallies[SIGNALS.index(signal)]

    @property
    def is_exact(self) -> bool:
        return all(tally.is_exact for tally in (*self.tallies, self.posts))


class _Account:
    __slots__ = ("delivered", "dropped", "filtered", "held", "received", "rejected", "restored", "spooled")

    def __init__(self) -> None:
        self.received = self.restored = self.delivered = self.rejected = self.held = self.spooled = 0
        self.dropped: dict[str, int] = {}
        self.filtered: dict[str, int] = {}


class Ledger:
    """The books. Each method names one movement; nothing can be written that does not balance."""

    __slots__ = (
        "_accounts",
        "_posts_dropped",
        "_posts_refused",
        "_posts_repeated",
        "_records_lost_by_lambda",
        "_records_received",
    )

    def __init__(self) -> None:
        self._records_received = 0
        self._records_lost_by_lambda = 0
        self._posts_dropped = 0
        self._posts_refused = 0
        self._posts_repeated = 0
        self._accounts = {signal: _Account() for signal in (*SIGNALS, POSTS)}

    def records_received(self, count: int) -> None:
        self._records_received += count

    def records_lost_by_lambda(self, count: int) -> None:
        self._records_lost_by_lambda += count

    def posts_dropped(self, count: int) -> None:
        """Posts that were not read, by a fault of ours: how many records were in them is not known."""
        self._posts_dropped += count

    def posts_refused(self, count: int) -> None:
        """Posts that we had no room for. No loss of ours: Lambda sends them again, or says that it dropped them."""
        self._posts_refused += count

    def duplicate_posts(self, count: int) -> None:
        """Posts that Lambda gave twice. Their records are in the books once."""
        self._posts_repeated += count

    def filtered(self, signal: str, count: int, reason: str) -> None:
        _add(self._accounts[signal].filtered, reason, count)

    def received(self, signal: str, count: int) -> None:
        """From Lambda into memory."""
        account = self._accounts[signal]
        account.received += count
        account.held += count

    def restored(self, signal: str, count: int) -> None:
        """From an earlier life onto our disk."""
        account = self._accounts[signal]
        account.restored += count
        account.spooled += count

    def spooled(self, signal: str, count: int) -> None:
        """From memory to disk."""
        account = self._accounts[signal]
        account.held -= count
        account.spooled += count

    def unspooled(self, signal: str, count: int) -> None:
        """From disk to memory, to be sent. The file may stay until the endpoint has acknowledged it."""
        self.spooled(signal, -count)

    def delivered(self, signal: str, count: int) -> None:
        """From memory to the endpoint, which took it."""
        account = self._accounts[signal]
        account.held -= count
        account.delivered += count

    def rejected(self, signal: str, count: int) -> None:
        """From memory to the endpoint, which took the request but not these."""
        account = self._accounts[signal]
        account.held -= count
        account.rejected += count

    def dropped(self, signal: str, count: int, reason: str) -> None:
        """From memory to nowhere."""
        account = self._accounts[signal]
        account.held -= count
        _add(account.dropped, reason, count)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            records_received=self._records_received,
            records_lost_by_lambda=self._records_lost_by_lambda,
            tallies=tuple(_tally(signal, self._accounts[signal]) for signal in SIGNALS),
            posts=_tally(POSTS, self._accounts[POSTS]),
        )

    def summary(self) -> str:
        """The books in one line, for people."""
        snapshot = self.snapshot()
        line = f"records received {snapshot.records_received}"
        if snapshot.records_lost_by_lambda:
            line += f" lost by Lambda {snapshot.records_lost_by_lambda}"
        posts = snapshot.posts
        if dropped := self._posts_dropped + posts.all_dropped:
            reasons = {**posts.dropped, **({NOT_READ: self._posts_dropped} if self._posts_dropped else {})}
            line += f" posts dropped {dropped}{_by_reason(reasons)}"
        if posts.restored:
            line += f" posts restored {posts.restored}"
        if posts.spooled:
            line += f" posts spooled {posts.spooled}"
        if self._posts_refused:
            line += f" posts refused for now {self._posts_refused}"
        if self._posts_repeated:
            line += f" duplicate posts {self._posts_repeated}"
        return "; ".join([line, *map(_in_words, snapshot.tallies)])


def _add(counts: dict[str, int], reason: str, count: int) -> None:
    counts[reason] = counts.get(reason, 0) + count


def _tally(signal: str, account: _Account) -> Tally:
    return Tally(
        signal=signal,
        received=account.received,
        restored=account.restored,
        delivered=account.delivered,
        rejected=account.rejected,
        held=account.held,
        spooled=account.spooled,
        dropped=dict(account.dropped),
        filtered=dict(account.filtered),
    )


def _in_words(tally: Tally) -> str:
    words = [f"{tally.signal} received {tally.received}"]
    if tally.restored:
        words.append(f"restored {tally.restored}")
    words.append(f"delivered {tally.delivered}")
    if tally.rejected:
        words.append(f"rejected {tally.rejected}")
    words.append(f"dropped {tally.all_dropped}{_by_reason(tally.dropped)}")
    words.append(f"held {tally.held} spooled {tally.spooled}")
    if tally.filtered:
        words.append(f"filtered {sum(tally.filtered.values())}{_by_reason(tally.filtered)}")
    return " ".join(words)


def _by_reason(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    return " (" + ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items())) + ")"
