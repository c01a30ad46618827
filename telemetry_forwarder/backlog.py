"""Posts that there is no time for at the end: to disk as they came, and read by the next life.

To convert a post takes a hundred times as long as to write it down: 80 to 125 ms and 1 ms of CPU for a MB.
"""

from collections import deque

from telemetry_forwarder.batch import POSTS, Batch
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion import Conversion
from telemetry_forwarder.decoding import joined_pieces, pieces
from telemetry_forwarder.inbox import Body
from telemetry_forwarder.ledger import Ledger
from telemetry_forwarder.spool import Entry, Spool

NOT_SPOOLED = "not spooled"
# Left of the shutdown for writing to disk what no endpoint has taken.
SPOOL_S = 0.3
# Some 150 lines: 5 ms of CPU, and 70 ms at the share of 128 MB.
_PIECE_BYTES = 40_000
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
        self._entry: Entry | None = None
        """A post of an earlier life, of which some pieces may be converted already."""
        self._pieces: deque[bytes] = deque()

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

    def keep_rest(self) -> None:
        """Keep all that is not converted, and nothing that is."""
        while self._waiting:
            self.keep(self._waiting.popleft())
        if (entry := self._entry) is not None:
            self.keep(Body(joined_pieces(self._pieces), entry.file.ordinal))
            self._end_of(entry)

    @property
    def has_past(self) -> bool:
        """Whether posts of an earlier life wait to be converted, and may: at the end others come first."""
        return self._has_past and not self.is_ending

    def restore(self) -> None:
        """Find what an earlier life has left on disk."""
        self._spool.restore()
        self._has_past = self._spool.waiting_posts > 0

    def convert_past(self) -> list[Batch]:
        """Convert a piece of a post of an earlier life: an invocation that ends meanwhile waits for no more than that.

        The file of the post goes with its last piece: what it makes is in memory, as of any post.
        """
        entry = self._entry or self._opened()
        batches = [] if entry is None else self._converted(entry)
        # What cannot be read now is left to the next life.
        self._has_past = entry is not None and (self._entry is not None or self._spool.waiting_posts > 0)
        return batches

    def _opened(self) -> Entry | None:
        self._entry = entry = self._spool.take(POSTS)
        if entry is not None:
            self._pieces = deque(pieces(entry.batch.body, _PIECE_BYTES))
        return entry

    def _converted(self, entry: Entry) -> list[Batch]:
        try:
            batches = self._conversion.take_in_past(self._pieces.popleft(), entry.file.ordinal)
        except Exception as exc:
            # Ours. A file that is left would break every life that is to come.
            self._ledger.dropped(POSTS, 1, f"failed with {type(exc).__name__}")
            self._spool.done(entry)
            self._entry = None
            return []
        if not self._pieces:
            self._end_of(entry)
        return batches

    def _end_of(self, entry: Entry) -> None:
        self._ledger.delivered(POSTS, 1)
        self._spool.done(entry)
        self._entry = None
