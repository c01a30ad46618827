"""Recognises a post that Lambda gives again although it was taken: the answer may have gone lost. Pure."""

_MOST_REMEMBERED = 64


class DuplicatePosts:
    """Remembers the last posts by their content, in 16 bytes for each.

    Two posts of the same bytes would have to hold the same lines of the same millisecond, yet lie apart by
    the subscription's buffering: that does not happen. Over TCP it might, since there nothing says where
    what Lambda sent together begins and ends.
    """

    __slots__ = ("_most", "_remembered")

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        self._most = most
        self._remembered: dict[tuple[int, int], None] = {}

    def is_new(self, content: bytes) -> bool:
        """Whether *content* was not seen lately; from now on it was."""
        # `hash` of bytes is SipHash with a random key: 64 bits, and nobody can aim at a collision.
        key = (hash(content), len(content))
        is_new = self._remembered.pop(key, key) is not None
        self._remembered[key] = None
        if len(self._remembered) > self._most:
            del self._remembered[next(iter(self._remembered))]
        return is_new
