"""Recognises a post that Lambda sends again although it was accepted: the response may have been lost. Pure."""


class DuplicatePosts:
    """Remembers hash and length of the last posts.

    Two different posts never have the same bytes: they would contain the same lines of the same millisecond,
    although the subscription's buffering separates them. For HTTP only: TCP does not preserve the boundaries of
    posts, so equal bytes may be received twice.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._remembered: dict[tuple[int, int], None] = {}

    def is_new(self, content: bytes) -> bool:
        """Return whether *content* is not among the last posts, and remember it."""
        # `hash` of bytes is a 64-bit SipHash with a random key: collisions cannot be constructed.
        key = (hash(content), len(content))
        is_new = self._remembered.pop(key, key) is not None
        self._remembered[key] = None
        if len(self._remembered) > self._most:
            del self._remembered[next(iter(self._remembered))]
        return is_new
