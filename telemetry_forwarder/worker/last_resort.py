"""Stores posts as they were received, where there is no forwarder: it is not built yet, or has failed.

Imports little: the forwarder's own imports may be what the main thread would have to wait for.
"""

import threading
from collections.abc import Iterable

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.spool_format import batches_of_posts
from telemetry_forwarder.buffer.store import NOT_SPOOLED, SPOOL_RESERVE_S
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.core.batch import POSTS
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, Item, ShutdownEvent


class LastResort:
    """Moves posts from the inbox to the spool. For the thread that has the ownership."""

    def __init__(
        self, inbox: Inbox, spool: Spool, ledger: Ledger, *, clock: Clock, log: Diagnostics, unclosed: threading.Lock
    ) -> None:
        """*unclosed* is free until someone logs the final accounts."""
        self._inbox = inbox
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._unclosed = unclosed

    def store(self, items: Iterable[Item]) -> None:
        """Spool the posts among *items*; count those that the disk does not take as dropped."""
        self._store(items, Deadline.after(SPOOL_RESERVE_S, self._clock))

    def store_at_end(self, event: ShutdownEvent) -> None:
        """Spool the posts in the inbox, or drop what the disk does not take before the process has to exit."""
        self._store(self._inbox.take(), event.exit_by)

    def _store(self, items: Iterable[Item], deadline: Deadline) -> None:
        contents = [item.content for item in items if isinstance(item, Body)]
        self._ledger.received(POSTS, len(contents))
        for batch in batches_of_posts(contents, self._spool.posts_bytes):
            if self._spool.write([batch], deadline):
                self._ledger.dropped(POSTS, batch.items, NOT_SPOOLED)

    def log_totals(self, problem: str = "") -> None:
        """Log *problem* and the final accounts at the first call. For any thread, with or without the ownership."""
        if not self._unclosed.acquire(blocking=False):
            return
        if problem:
            self._log.warn(problem)
        unstored_posts = sum(isinstance(item, Body) for item in self._inbox.take())
        self._ledger.posts_refused += self._inbox.take_refusals()
        self._ledger.posts_foreign = self._inbox.foreign_posts
        self._log.info(self._ledger.summary(unstored_posts=unstored_posts))
