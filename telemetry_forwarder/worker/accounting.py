"""Reports the ledger: as log lines, as metrics, and whether its accounts balance."""

import threading

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.otlp.self_metrics import Measurement, SelfMetrics
from telemetry_forwarder.receiver.inbox import Inbox


class Accounting:
    """Reports after each flush and at the end."""

    def __init__(self, ledger: Ledger, clock: Clock, log: Diagnostics, unclosed: threading.Lock) -> None:
        """*unclosed* is free until someone logs the final accounts."""
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._self_metrics = SelfMetrics(ledger, clock.monotonic_s())
        self._unclosed = unclosed

    def measurements(self, *, is_last: bool) -> list[Measurement]:
        """Return the changes since the last call that returned any; at most once a minute, unless *is_last*."""
        return self._self_metrics.take(self._clock.monotonic_s(), is_last=is_last)

    def flushed(self) -> None:
        """Check and log the accounts after a flush, at level debug only: every invocation would pay for it."""
        self._log.debug(self._checked_summary)

    def close(self, inbox: Inbox, *, unstored_posts: int = 0, problem: str = "") -> None:
        """Log *problem*, if any, and the final accounts, with the posts that *inbox* refused. For any thread.

        Only the first call counts: no line follows. *unstored_posts*: those in memory that no step has begun to store.
        """
        if self._unclosed.acquire(blocking=False):
            if problem:
                self._log.warn(problem)
            self._ledger.posts_refused += inbox.take_refusals()
            self._ledger.posts_foreign += inbox.foreign_posts
            self._log.info(self._checked_summary(unstored_posts))

    def _checked_summary(self, unstored_posts: int = 0) -> str:
        snapshot = self._ledger.snapshot()
        wrong = "; ".join(
            f"{tally.signal}: {tally.unaccounted} unaccounted for, {tally.held} held, {tally.spooled} spooled"
            for tally in (*snapshot.tallies, snapshot.posts)
            if not tally.is_exact
        )
        if wrong:
            self._log.warn(
                f"the accounts do not balance ({wrong}): please report this defect", once_a_minute="accounts"
            )
        return self._ledger.summary(unstored_posts=unstored_posts)
