"""Returns free memory to the system, at moments when no invocation waits.

By itself, `malloc` would return it whenever a post or a request is freed, and fault every page in again for the next.
So `extension/telemetry-forwarder` makes `malloc` keep blocks of less than 1 MB, and this module trims the heap.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Trim only above this size: a trim takes about 1 ms.
_MIN_TRIM_BYTES = 4_194_304


class MemoryTrimmer:
    """Counts how much memory was used since the last trim."""

    __slots__ = ("_free_bytes", "_trim", "_used_bytes")

    def __init__(self) -> None:
        self._trim = _malloc_trim()
        self._used_bytes = 0
        self._free_bytes = 0

    def used(self, size_bytes: int) -> None:
        """Count a post of that size."""
        self._used_bytes += size_bytes

    def freed(self) -> None:
        """Count what was used so far as free, because a flush has ended."""
        self._free_bytes += self._used_bytes
        self._used_bytes = 0

    def trim(self) -> None:
        """Return free memory to the system, if there is much. Blocks for about a millisecond."""
        if self._free_bytes >= _MIN_TRIM_BYTES:
            self._free_bytes = 0
            if self._trim is not None:
                self._trim(0)


def _malloc_trim() -> "Callable[[int], int] | None":
    """Return glibc's function; None with another C library. https://man7.org/linux/man-pages/man3/malloc_trim.3.html"""
    try:
        import ctypes

        return ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError):
        # A Python without ctypes, or another C library: the process keeps its memory, and nothing else differs.
        return None
