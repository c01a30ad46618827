"""Gives memory that is free back to the system, at moments of our choosing.

Left to itself, `malloc` would do so whenever a post or a request is freed, and fault every page in again for the next:
a seventh of the CPU per record. So `extension/telemetry-forwarder` tells it to keep blocks of less than a MB, and we
say when.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Less than that is not worth a call, which takes a millisecond.
_MUCH_BYTES = 4_194_304


class FreeMemory:
    """Knows how much has gone through since memory was last given back."""

    __slots__ = ("_since_bytes", "_trim")

    def __init__(self) -> None:
        self._trim = _malloc_trim()
        self._since_bytes = 0

    def used(self, count: int) -> None:
        """So many bytes have come in, and are free or will be soon."""
        self._since_bytes += count

    def give_back(self) -> None:
        """Now is a good moment; does nothing where little has come. Blocks for a millisecond or so."""
        if self._since_bytes >= _MUCH_BYTES:
            self._since_bytes = 0
            if self._trim is not None:
                self._trim(0)


def _malloc_trim() -> "Callable[[int], int] | None":
    """glibc's own; None elsewhere. https://man7.org/linux/man-pages/man3/malloc_trim.3.html"""
    try:
        import ctypes

        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError):
        # A Python without ctypes, or another C library: then memory stays with us, and nothing else is different.
        return None
    return trim
