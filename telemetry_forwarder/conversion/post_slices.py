"""The members of a post that is plain JSON, a few at a time, and a post of those that there is no time for. Pure."""

from typing import Any

from telemetry_forwarder.telemetry.decoder import is_line, post_of

_FEW = 150
# Few are less where they are large: 150 lines of many keys take a third of a second.
_FEW_BYTES = 40_000
# The last lines of an invocation tell how it went.
_LAST_BYTES = 8_000


class PlainPost:
    """Gives each member once, in their order."""

    def __init__(self, events: list[Any], size: int) -> None:
        """*size*: of all of it, in bytes. Takes the list over, and what it gives is in it no more."""
        events.reverse()
        self._events = events
        self._bytes_each = size / max(1, len(events))
        self._few = self._count(_FEW_BYTES)
        self._is_cut = False

    @property
    def is_over(self) -> bool:
        return not self._events

    @property
    def few_bytes(self) -> int:
        """About the size of what `take_few` gives; nothing where there is no more to leave."""
        return 0 if self._is_cut else round(self._bytes_each * min(self._few, len(self._events)))

    def take_few(self) -> list[Any]:
        few = self._events[: -self._few - 1 : -1]
        del self._events[-self._few :]
        return few

    def leave_lines(self) -> bytes:
        """Take out the lines but for the last ones, and give a post of them.

        What is no line stays, for spans and metrics come of it, which the next life does not make; but of very many
        nothing stays. Nor is a line taken out that cannot be written as JSON again.
        """
        self._is_cut = True
        last = self._count(_LAST_BYTES)
        stays = [at < last or not is_line(event) for at, event in enumerate(self._events)]
        if sum(stays) > _FEW + last:
            stays = [False] * len(stays)
        post = self._post_without(stays)
        if not post:
            stays = [
                is_here or not post_of([event]) for event, is_here in zip(self._events, stays, strict=True)
            ]
            post = self._post_without(stays)
        self._events = [event for event, is_here in zip(self._events, stays, strict=True) if is_here]
        return b"" if all(stays) else post

    def _post_without(self, stays: list[bool]) -> bytes:
        left = [event for event, is_here in zip(self._events, stays, strict=True) if not is_here]
        return post_of(left[::-1])

    def _count(self, size: int) -> int:
        """How many members have so many bytes, more or less."""
        return max(1, min(_FEW, int(size / max(1.0, self._bytes_each))))
