"""Writes our own log lines: marked, on stderr, rate limited. Never raises.

Lambda returns what an extension prints as telemetry of type `extension`. The mark identifies our own lines
(`is_own_line`), so that they are not forwarded and no line causes another one.
"""

# The C module behind `os`: `os` itself would add a third to the start of a bare interpreter.
import posix

from telemetry_forwarder.clock import Clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "[telemetry-forwarder]"
LEVELS = ("debug", "info", "warn", "error", "none")

_ONCE_A_MINUTE_S = 60.0
_MAX_KEYS = 100
# Characters, of up to four bytes each: a pipe accepts 4,096 bytes at once, even if threads write concurrently.
_MAX_LINE_CHARS = 1_000
# Masked before the line is cut, because half a secret would not be recognised; masking a text takes long.
_MAX_MASKED_CHARS = 2 * _MAX_LINE_CHARS


def is_own_line(record: object) -> bool:
    """Return whether an `extension` record is one of our own lines, as text or wrapped by the JSON log format."""
    if isinstance(record, dict):
        record = record.get("message")
    return isinstance(record, str) and record.startswith(MARK)


class Diagnostics:
    """A logger that writes one line per message to stderr. If stderr is closed, lines are lost."""

    __slots__ = ("_clock", "_file", "_level", "_logged_at_s", "mask")

    def __init__(self, level: str, clock: Clock, *, file: int = 2) -> None:
        self._level = LEVELS.index(level)
        self._clock = clock
        self._file = file
        self._logged_at_s: dict[str, float] = {}
        self.mask: Callable[[str], str] = str
        """Returns a line without secrets; set once they are known."""

    def debug(self, message: "Callable[[], str]") -> None:
        """Log what *message* returns; it is only called if the level is `debug`."""
        if self._level == 0:
            self._write_line("debug", message())

    def info(self, message: str) -> None:
        self._write_line("info", message)

    def warn(self, message: str, *, once_a_minute: str = "") -> None:
        """Log a warning; with a key in *once_a_minute*, at most once a minute for that key."""
        if not once_a_minute or self._is_due(once_a_minute):
            self._write_line("warn", message)

    def error(self, message: str) -> None:
        self._write_line("error", message)

    def _is_due(self, key: str) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s - self._logged_at_s.get(key, -_ONCE_A_MINUTE_S) < _ONCE_A_MINUTE_S:
            return False
        if len(self._logged_at_s) >= _MAX_KEYS:
            self._logged_at_s.clear()
        self._logged_at_s[key] = now_s
        return True

    def _write_line(self, level: str, message: str) -> None:
        if LEVELS.index(level) < self._level:
            return
        try:
            # A single line, because Lambda makes a record of each line and only the first one carries the mark.
            masked = self.mask(message[:_MAX_MASKED_CHARS])
            one_line = " | ".join(masked.split("\n"))[:_MAX_LINE_CHARS].replace("\r", " ")
            posix.write(self._file, f"{MARK} {level.upper()} {one_line}\n".encode("utf-8", "replace"))
        except (OSError, MemoryError):
            pass
