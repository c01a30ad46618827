"""Posts that are not converted when SHUTDOWN comes: converted while there is time, then spooled raw.

To spool a post takes a hundredth of the time that it takes to convert it. The next process replays it.
"""

from collections import deque

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.buffer.spool import Spool
from telemetry_forwarder.buffer.store import NOT_SPOOLED, SPOOL_RESERVE_S
from telemetry_forwarder.clock import Clock, Deadline
from telemetry_forwarder.conversion.converter import Converter
from telemetry_forwarder.core.batch import POSTS, Batch
from telemetry_forwarder.receiver.messages import Body
from telemetry_forwarder.worker.replay import Replay

# As much as the inbox takes by default, for it is emptied into this.
_MOST_BYTES = 16_777_216
# The dearest of what was measured: lines of one character.
_CPU_S_PER_BYTE = 0.12 / 1_000_000
# To write a post down: twice what was measured.
_WRITING_CPU_S_PER_BYTE = 0.002 / 1_000_000
# Left of the shutdown for sending what was converted, and for what cannot be interrupted.
_SENDING_S = 0.4


class Backlog:
    """What came before SHUTDOWN and is not converted, and what an earlier life has left of that."""

    def __init__(
        self, conversion: Converter, spool: Spool, ledger: Ledger, clock: Clock, *, cpu_share: float
    ) -> None:
        self._conversion = conversion
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self._cpu_share = cpu_share
        self._past = Replay(conversion, spool, ledger, clock)
        self._waiting: deque[Body] = deque()
        self._waiting_bytes = 0
        self._end: Deadline | None = None
        self._is_last_chance = False

    @property
    def is_empty(self) -> bool:
        """Whether no post of this life waits."""
        return not self._waiting

    @property
    def has_past(self) -> bool:
        """Whether spooled posts are to be replayed now: after SHUTDOWN, only if no other process will do it."""
        return self._past.has_more and (not self.is_ending or self._is_last_chance)

    @property
    def has_work(self) -> bool:
        """Whether a post of this life or of an earlier one wants to be taken care of now."""
        return not self.is_empty or self.has_past

    def add(self, body: Body) -> None:
        """Let *body* wait; where too much waits already, it goes to disk at once."""
        if self._waiting_bytes + len(body.content) > _MOST_BYTES:
            self.keep(body, Deadline.after(SPOOL_RESERVE_S, self._clock))
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
        # Lambda may leave less than that, and most posts take milliseconds.
        self._end = self._end or deadline.less(min(SPOOL_RESERVE_S + _SENDING_S, deadline.left_s() / 2))

    def end_for_good(self) -> None:
        """No other life is to come: what an earlier one has left on disk has its last chance."""
        self._is_last_chance = True

    @property
    def is_ending(self) -> bool:
        return self._end is not None

    def convert(self, body: Body) -> list[Batch]:
        """Convert *body*, or spool it raw if there is not enough time left to convert it."""
        if not self._is_time_for(len(body.content)):
            self.keep(body, Deadline.after(SPOOL_RESERVE_S, self._clock))
            return []
        return self._conversion.take_in(body.content, body.observed_ns)

    def keep(self, body: Body, deadline: Deadline) -> None:
        """Write *body* down, or count it as dropped where there is no room or no time."""
        self._ledger.received(POSTS, 1)
        for left in self._spool.write([Batch(POSTS, body.content, 1)], deadline):
            self._ledger.dropped(left.signal, left.items, NOT_SPOOLED)

    def keep_rest(self, deadline: Deadline) -> None:
        """Keep all that is not converted, as far as there is time."""
        while self._waiting:
            self.keep(self.take(), deadline)

    def restore(self) -> None:
        """Find what an earlier life has left on disk."""
        self._past.restore()

    def convert_past(self) -> list[Batch]:
        """Replay a spooled post; return the batches that must stay in memory."""
        return self._past.convert_next(has_time_for=self._is_time_for, is_last_chance=self._is_last_chance)

    def _is_time_for(self, size: int) -> bool:
        """Whether so many bytes can be converted before the end, at the share of the CPU that we have."""
        if self._end is None:
            return True
        cpu_s = size * _CPU_S_PER_BYTE + self._waiting_bytes * _WRITING_CPU_S_PER_BYTE
        return self._end.left_s() > cpu_s / self._cpu_share
