"""Posts that there is no time for at the end: to disk as they came, and read by the next life.

To convert a post takes a hundred times as long as to write it down: 80 to 125 ms and 1 ms of CPU for a MB.
"""

from collections import deque

from telemetry_forwarder.batch import POSTS, Batch
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion import Conversion
from telemetry_forwarder.inbox import Body
from telemetry_forwarder.ledger import Ledger
from telemetry_forwarder.spool import Spool

NOT_SPOOLED = "not spooled"
# Left of the shutdown for writing to disk what no endpoint has taken.
SPOOL_S = 0.3
# The dearest of what was measured: lines of one character.
_CPU_S_PER_BYTE = 0.12 / 1_000_000


class Backlog:
    """What came before SHUTDOWN and is not converted, and what an earlier life has left of that."""

    def __init__(
        self, conversion: Conversion, spool: Spool, ledger: Ledger, clock: Clock, *, cpu_share: float
    ) -> None:
        self._conversion = conversion
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self._cpu_share = cpu_share
        self._waiting: deque[Body] = deque()
        self._end: Deadline | None = None
        self._has_past = False

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def add(self, body: Body) -> None:
        self._waiting.append(body)

    def take(self) -> Body:
        return self._waiting.popleft()

    def end(self, deadline: Deadline) -> None:
        """SHUTDOWN has come: nothing is converted that is not done well before *deadline*. From any thread.

        The first call counts.
        """
        # Lambda may leave less than what the disk is to have, and most posts take milliseconds.
        self._end = self._end or deadline.less(min(SPOOL_S, deadline.left_s() / 2))

    @property
    def is_ending(self) -> bool:
        return self._end is not None

    def is_time_for(self, body: Body) -> bool:
        """Whether *body* can be converted before the end, at the share of the CPU that we have."""
        seconds = len(body.content) * _CPU_S_PER_BYTE / self._cpu_share
        return self._end is None or self._end.left_s() > seconds

    def keep(self, body: Body) -> None:
        """Write *body* down as it came, or count it as dropped."""
        self._ledger.received(POSTS, 1)
        deadline = Deadline.after(SPOOL_S, self._clock)
        for left in self._spool.write([Batch(POSTS, body.content, 1)], deadline):
            self._ledger.dropped(left.signal, left.items, NOT_SPOOLED)

    def keep_all(self) -> None:
        while self._waiting:
            self.keep(self._waiting.popleft())

    @property
    def has_past(self) -> bool:
        """Whether posts of an earlier life wait to be converted, and may: at the end others come first."""
        return self._has_past and not self.is_ending

    def restore(self) -> None:
        """Find what an earlier life has left on disk."""
        self._spool.restore()
        self._has_past = self._spool.waiting_posts > 0

    def convert_past(self) -> list[Batch]:
        """Convert one post of an earlier life. Its file goes: what it makes is in memory, as of any post."""
        entry = self._spool.take(POSTS)
        # What cannot be read now is left to the next life.
        self._has_past = entry is not None and self._spool.waiting_posts > 0
        if entry is None:
            return []
        try:
            batches = self._conversion.take_in_past(entry.batch.body, entry.file.ordinal)
            self._ledger.delivered(POSTS, 1)
        except Exception as exc:
            # Ours. A file that is left would break every life that is to come.
            batches = []
            self._ledger.dropped(POSTS, 1, f"failed with {type(exc).__name__}")
        self._spool.done(entry)
        return batches
