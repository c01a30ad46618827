"""Limits what a flush sends of one signal after a failure, so that a server that recovers is not overrun. Pure."""

from math import inf

_FIRST_BYTES = 262_144
_LAST_BYTES = 4_194_304


class SlowStart:
    """Without a failure there is no limit. After one, a flush sends one request: small, then twice as large."""

    def __init__(self) -> None:
        self.most_bytes = inf
        """The size of the only request of a flush; infinity if a flush may send everything."""

    @property
    def is_limited(self) -> bool:
        return self.most_bytes < inf

    def failed(self) -> None:
        self.most_bytes = _FIRST_BYTES

    def succeeded(self) -> None:
        self.most_bytes = inf if self.most_bytes >= _LAST_BYTES else self.most_bytes * 2
