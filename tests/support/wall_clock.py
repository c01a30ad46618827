"""Shifts the wall clock of the extension, and of nothing else: a library that is preloaded into its interpreter."""

import struct
from pathlib import Path

from tests.support import preload

_SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """A copy of an `/opt` folder, by links, whose extension has a wall clock of its own."""

    def __init__(self, opt: Path, folder: Path) -> None:
        """*opt*: the folder with the extension. *folder*: for the copy; it must not exist."""
        folder.mkdir()
        self.opt = folder / "opt"
        self._shift = folder / "shift"
        self._shift.write_bytes(bytes(16))
        preload.with_library(opt, self.opt, _SOURCE, variable=f"WALL_CLOCK_SHIFT={self._shift}")

    def shift(self, seconds: float) -> None:
        """Set the difference to the real time, also of a process that is running."""
        with self._shift.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", round(seconds * 1_000_000_000)))

    def shift_both(self, seconds: float, *, monotonic_s: float) -> None:
        """As `shift`, and set the difference of the monotonic clock, which must not be set back."""
        with self._shift.open("r+b", buffering=0) as file:
            file.write(struct.pack("=qq", round(seconds * 1_000_000_000), round(monotonic_s * 1_000_000_000)))
