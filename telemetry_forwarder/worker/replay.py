"""Posts that an earlier life of the environment has left on disk as they came, on their way to being batches."""

from collections import deque

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool, SpooledBatch
from telemetry_forwarder.buffer.store import SPOOL_S
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import POSTS, Batch
from telemetry_forwarder.telemetry.decoder import pieces

# Some 150 lines: 5 ms of CPU, and 70 ms at the share of 128 MB.
PIECE_BYTES = 40_000


class Replay:
    """Converts one post after the other, in pieces. What somebody has kept on disk does not get lost with us."""

    def __init__(self, conversion: Converter, spool: Spool, ledger: Ledger, clock: Clock) -> None:
        self._conversion = conversion
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self._entry: SpooledBatch | None = None
        """A post of which some pieces may be converted already."""
        self._pieces: deque[bytes] = deque()
        self._made: list[Batch] = []
        """What they have become."""
        self.has_more = False
        """Whether there is something to convert."""

    def restore(self) -> None:
        """Find what is on disk."""
        self._spool.restore()
        self.has_more = self._spool.waiting_posts > 0

    def convert(self, *, is_last_chance: bool = False) -> list[Batch]:
        """Convert a piece of a post: an invocation that ends meanwhile waits for no more than that.

        The first piece takes reading the whole post as well, and a post in which Lambda has cut a record is one piece:
        up to 1.7 s for a MB, at the CPU share of 128 MB. With its last piece a post's batches take its place on disk;
        gives those for which there was no room, and at the *last chance* all at once, for then the disk is gone soon.
        """
        entry = self._entry or self._opened()
        if entry is not None:
            self._convert_piece(entry)
            if self._entry is None:
                if not is_last_chance:
                    self._write_down()
                self._spool.done(entry)
        # What cannot be read now is left to the next life.
        self.has_more = entry is not None and (self._entry is not None or self._spool.waiting_posts > 0)
        if self._entry is not None and not is_last_chance:
            return []
        made, self._made = self._made, []
        return made

    def put_back(self) -> None:
        """Leave the post that was begun to the next life, whole: its file is there.

        Nothing of it has gone anywhere, but at the last chance, when there is no next life to give it twice.
        """
        if self._entry is not None:
            self._spool.put_back(self._entry)
            self._entry = None
            self._made = []

    def _opened(self) -> SpooledBatch | None:
        entry = self._spool.take(POSTS)
        if entry is not None:
            self._pieces = deque(pieces(entry.batch.body, PIECE_BYTES))
        self._entry = entry
        return entry

    def _convert_piece(self, entry: SpooledBatch) -> None:
        try:
            self._made += self._conversion.take_in_past(self._pieces.popleft(), entry.file.ordinal)
        except Exception as exc:
            # Ours. A file that is left would break every life that is to come.
            self._ledger.dropped(POSTS, 1, f"failed with {type(exc).__name__}")
            self._entry = None
            return
        if not self._pieces:
            self._ledger.delivered(POSTS, 1)
            self._entry = None

    def _write_down(self) -> None:
        """Put what a post has become on disk before its file goes, unless something else had to go for that."""
        joined = self._joined()
        if not self._spool.has_room_for(joined):
            return
        for batch in joined:
            self._ledger.received(batch.signal, batch.items)
        self._made = self._spool.write(joined, Deadline.after(SPOOL_S, self._clock))
        for batch in self._made:
            self._ledger.received(batch.signal, -batch.items)

    def _joined(self) -> list[Batch]:
        """The same in as few batches as may be: each becomes a request."""
        joined: list[Batch] = []
        for made in self._made:
            if joined and self._conversion.fit_together(joined[-1], made):
                last = joined.pop()
                joined.append(Batch(last.signal, last.body + made.body, last.items + made.items))
            else:
                joined.append(made)
        return joined
