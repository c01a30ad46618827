"""Caches the results of a pure function that the hot path calls thousands of times a second."""

from collections.abc import Callable
from typing import TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class BoundedCache(dict[_Key, _Value]):
    """`cache[key]` is `function(key)`, computed once. At most *limit* results are kept; a full cache is cleared.

    A dict, because a lookup costs less than a call of `functools.lru_cache`. Equal keys share one result. May be
    used from any thread: at worst, a result is computed twice.
    """

    def __init__(self, function: Callable[[_Key], _Value], limit: int) -> None:
        super().__init__()
        self._function = function
        self._limit = limit

    def __missing__(self, key: _Key) -> _Value:
        if len(self) >= self._limit:
            self.clear()
        value = self[key] = self._function(key)
        return value
