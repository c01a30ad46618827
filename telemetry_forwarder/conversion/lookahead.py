"""The members of a post that are not converted yet: those of a slice, and what follows it as far as a trace needs it.

Pure; never raises.
"""

from typing import Any

from telemetry_forwarder.telemetry.decoder import Decoder, load_exactly, read_record
from telemetry_forwarder.telemetry.json_values import may_have_lost_digits
from telemetry_forwarder.telemetry.records import LogLine


class Lookahead:
    """Members of a post, or records, in reverse: the next one is the last of `items`."""

    def __init__(
        self,
        items: list[Any],
        observed_ns: int = 0,
        *,
        decoder: Decoder | None = None,
        body: bytes = b"",
        begin: int = 0,
        at: int = 0,
    ) -> None:
        """*items* are those of the slice of *body* from *begin* to *at*, and *decoder* can read what follows it."""
        items.reverse()
        self.items = items
        self.next_at = at
        """Where what follows the slice begins."""
        self.taken_beyond = 0
        """How many items were removed that follow the slice."""
        self._observed_ns = observed_ns
        self._decoder = decoder
        self._body = body
        self._begin = begin
        self._exact_events: list[Any] = []
        self._ends = [at]
        """Where the slice ends, and each item that was read after it."""

    def exact(self, event: Any) -> Any:
        """Return *event*, which was removed last, with all digits of the integers in its record."""
        if not may_have_lost_digits(event["record"]):
            return event
        self._exact_events = self._exact_events or load_exactly(self._body, self._begin)
        return self._exact_events[-1 - len(self.items)]

    def item(self, number: int) -> Any:
        """Return the item at *number*, from 1; None if there is none that can be read."""
        while number > len(self.items):
            at = self._ends[-1]
            found = self._decoder.peek(self._body, at) if self._decoder and at < len(self._body) else None
            if found is None:
                return None
            event, end = found
            self.items.insert(0, event)
            self._ends.append(end)
        return self.items[-number]

    def line(self, number: int) -> LogLine | None:
        """Return the item at *number* as a line; None if it is none."""
        item = self.item(number)
        record = read_record(item, self._observed_ns) if type(item) is dict else item
        return record if type(record) is LogLine else None

    def remove(self, count: int) -> None:
        """Remove the next *count* items, which were read, and leave to the next slice what else follows this one."""
        if len(self._ends) == 1:
            del self.items[len(self.items) - count :]
            return
        kept = len(self.items) - count
        beyond = min(len(self._ends) - 1, kept)
        self.taken_beyond += len(self._ends) - 1 - beyond
        self.next_at = self._ends[-1 - beyond]
        self.items[:] = self.items[beyond:kept]
        self._ends = [self.next_at]
