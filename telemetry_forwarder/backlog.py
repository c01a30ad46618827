"""Posts that there is no time for at the end: to disk as they came, and read by the next life.

To convert a post takes a hundred times as long as to write it down: 80 to 125 ms and 1 ms of CPU for a MB.
"""

from collections import deque

from telemetry_forwarder.batch import POSTS, Batch
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion import Conversion
from telemetry_forwarder.decoding import joined_pieces, pieces
from telemetry_forwarder.holding import NOT_SPOOLED, SPOOL_S
from telemetry_forwarder.inbox import Body
from telemetry_forwarder.ledger import Ledger
from telemetry_forwarder.spool import Entry, Spool

# As much as the inbox takes by default, for it is emptied into this.
_MOST_BYTES = 16_777_216
# Some 150 lines: 5 ms of CPU, and 70 ms at the share of 128 MB.
PIECE_BYTES = 40_000
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
        self._waiting_bytes = 0
        self._end: Deadline | None = None
        self._has_past = False
        self._entry: Entry | None = None
        """A post of an earlier life, of which some pieces may be converted already."""
        self._pieces: deque[bytes] = deque()

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def add(self, body: Body) -> None:
        """Let *body* wait; where too much waits already, it goes to disk at once."""
        if self._waiting_bytes + len(body.content) > _MOST_BYTES:
            self.keep(body, Deadline.after(SPOOL_S, self._clock))
            return
        self._waiting.append(body)
        self._waiting_bytes += len(body.content)

    def take(self) -> Body:
        body = self._waiting.popleft()
        self._waiting_bytes -= len(body.content)
        return body

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
        return self._is_time_for(len(body.content))

    def _is_time_for(self, size: int) -> bool:
        return self._end is None or self._end.left_s() > size * _CPU_S_PER_BYTE / self._cpu_share

    def convert(self, body: Body) -> list[Batch]:
        """Convert *body*, and where the end comes while that goes on, write its other lines down as they came."""
        batches = self._conversion.take_in(
            body.content, body.observed_ns, lambda: self._is_time_for(PIECE_BYTES)
        )
        if rest := self._conversion.take_rest():
            self.keep(Body(rest, body.observed_ns), Deadline.after(SPOOL_S, self._clock))
        return batches

    def keep(self, body: Body, deadline: Deadline) -> None:
        """Write *body* down as it came, or count it as dropped where there is no room or no time."""
        self._ledger.received(POSTS, 1)
        for left in self._spool.write([Batch(POSTS, body.content, 1)], deadline):
            self._ledger.dropped(left.signal, left.items, NOT_SPOOLED)

    def keep_rest(self, deadline: Deadline) -> None:
        """Keep all that is not converted, and nothing that is, as far as there is time."""
        while self._waiting:
            self.keep(self.take(), deadline)
        if (entry := self._entry) is None:
            return
        self._ledger.received(POSTS, 1)
        rest = Batch(POSTS, joined_pieces(self._pieces), 1)
        if self._spool.write([rest], deadline):
            # The file of the whole is still there, and all of it comes again: better twice than never.
            self._ledger.received(POSTS, -1)
            self._spool.put_back(entry)
            self._entry = None
        else:
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

        The first piece takes reading the whole post as well, and a post in which Lambda has cut a record is one piece:
        up to 1.7 s for a MB, at the CPU share of 128 MB. The file of the post goes with its last piece: what it makes
        is in memory, as of any post.
        """
        entry = self._entry or self._opened()
        batches = [] if entry is None else self._converted(entry)
        # What cannot be read now is left to the next life.
        self._has_past = entry is not None and (self._entry is not None or self._spool.waiting_posts > 0)
        return batches

    def _opened(self) -> Entry | None:
        entry = self._spool.take(POSTS)
        if entry is not None:
            self._pieces = deque(pieces(entry.batch.body, PIECE_BYTES))
        self._entry = entry
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
