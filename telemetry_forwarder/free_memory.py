"""Gives memory that is free back to the system, at moments of our choosing.

Left to itself, `malloc` would do so whenever a post or a request is freed, and fault every page in again for the next:
a seventh of the CPU per record. So `extension/telemetry-forwarder` tells it to keep what is free, and we say when.
"""

import ctypes

# Less than that is not worth a call, which takes a millisecond.
_MUCH_BYTES = 4_194_304


class FreeMemory:
    """Knows how much has gone through since memory was last given back."""

    __slots__ = ("_since_bytes", "_trim")

    def __init__(self) -> None:
        # glibc's alone: https://man7.org/linux/man-pages/man3/malloc_trim.3.html
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
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
