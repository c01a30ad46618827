"""Captures the log lines of the diagnostics."""

import os
import tempfile
from typing import Self

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.diagnostics import MARK, Diagnostics


class CapturedLog:
    """A file for diagnostics to write to, and its lines."""

    def __enter__(self) -> Self:
        self._file, self._path = tempfile.mkstemp()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        os.unlink(self._path)

    def diagnostics(self, clock: Clock) -> Diagnostics:
        return Diagnostics("debug", clock, file=self._file)

    @property
    def lines(self) -> list[str]:
        """The log lines, without the mark that each begins with."""
        with open(self._path) as file:
            return [line.removeprefix(f"{MARK} ").rstrip("\n") for line in file]
