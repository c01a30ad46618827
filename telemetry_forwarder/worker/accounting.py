"""Reports the ledger: as log lines, as metrics, and whether its accounts balance."""

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.clock import Clock
from telemetry_forwarder.diagnostics import Diagnostics
from telemetry_forwarder.otlp.self_metrics import Measurement, SelfMetrics


class Accounting:
    """Reports after each flush and at the end."""

    def __init__(self, ledger: Ledger, clock: Clock, log: Diagnostics) -> None:
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._self_metrics = SelfMetrics(ledger, clock.monotonic_s())

    def measurements(self, *, is_last: bool) -> list[Measurement]:
        """Return the changes since the last call that returned any; at most once a minute, unless *is_last*."""
        return self._self_metrics.take(self._clock.monotonic_s(), is_last=is_last)

    def flushed(self) -> None:
        """Log the accounts after a flush, at level debug."""
        self._check()
        self._log.debug(self._ledger.summary)

    def close(self, *, refused_posts: int) -> None:
        """Log the final accounts."""
        self._ledger.posts_refused(refused_posts)
        self._check()
        self._log.info(self._ledger.summary())

    def _check(self) -> None:
        snapshot = self._ledger.snapshot()
        if snapshot.is_exact:
            return
        wrong = [tally for tally in (*snapshot.tallies, snapshot.posts) if not tally.is_exact]
        details = "; ".join(
            f"{tally.signal}: {tally.unaccounted} unaccounted for, {tally.held} held, {tally.spooled} spooled"
            for tally in wrong
        )
        self._log.warn(
            f"the accounts do not balance ({details}): please report this defect", once_a_minute="accounts"
        )
