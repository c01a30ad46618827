"""Recognises a post that Lambda sends again although it was accepted: the response may have been lost. No I/O."""


class DuplicatePosts:
    """Remembers hash and length of the last posts.

    Two different posts never have the same bytes: they would contain the same lines of the same millisecond,
    although the subscription's buffering separates them. For HTTP only: TCP does not preserve the boundaries of
    posts, so equal bytes may be received twice.
    """

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._remembered: dict[tuple[int, int], None] = {}

    def is_new(self, content: bytes) -> bool:
        """Return whether *content* is not among the last posts, and remember it."""
        # `hash` of bytes is a 64-bit SipHash with a random key: collisions cannot be constructed.
        key = (hash(content), len(content))
        is_new = key not in self._remembered
        # Removed first, so that the key becomes the newest.
        self._remembered.pop(key, None)
        self._remembered[key] = None
        if len(self._remembered) > self._limit:
            del self._remembered[next(iter(self._remembered))]
        return is_new
