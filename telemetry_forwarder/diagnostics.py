"""Our own log lines: marked, on stderr, rate limited, never about a log line.

Lambda hands what an extension prints back to it as telemetry, so every line carries a mark by which
`is_own_line` recognises it: what we say must never make us say more.
"""

# `os` without what Python adds to it, which would be a third of a bare interpreter's start.
import posix

from telemetry_forwarder.clock import Clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "[telemetry-forwarder]"
LEVELS = ("debug", "info", "warn", "error", "none")

_ONCE_A_MINUTE_S = 60.0
_MOST_KEYS = 100
# In characters, of four bytes at most: a pipe takes 4,096 bytes whole, whichever thread writes at the same time.
_LONGEST_LINE = 1_000


def is_own_line(record: object) -> bool:
    """Whether an `extension` record is a line of ours, plain or wrapped by the JSON log format."""
    if isinstance(record, dict):
        record = record.get("message")
    return isinstance(record, str) and record.startswith(MARK)


class Diagnostics:
    """Says things on stderr, one line each. Never raises: a closed stderr costs the line."""

    __slots__ = ("_clock", "_file", "_level", "_said_at_s")

    def __init__(self, level: str, clock: Clock, *, file: int = 2) -> None:
        self._level = LEVELS.index(level)
        self._clock = clock
        self._file = file
        self._said_at_s: dict[str, float] = {}

    def debug(self, message: "Callable[[], str]") -> None:
        """Say what *message* returns. It is not asked where nobody listens: most often that is so."""
        if self._level == 0:
            self._write_line("debug", message())

    def info(self, message: str) -> None:
        self._write_line("info", message)

    def warn(self, message: str, *, once_a_minute: str = "") -> None:
        """Say a warning; with a key in *once_a_minute*, at most once a minute for that key."""
        if not once_a_minute or self._is_due(once_a_minute):
            self._write_line("warn", message)

    def error(self, message: str) -> None:
        self._write_line("error", message)

    def _is_due(self, key: str) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s - self._said_at_s.get(key, -_ONCE_A_MINUTE_S) < _ONCE_A_MINUTE_S:
            return False
        if len(self._said_at_s) >= _MOST_KEYS:
            self._said_at_s.clear()
        self._said_at_s[key] = now_s
        return True

    def _write_line(self, level: str, message: str) -> None:
        if LEVELS.index(level) < self._level:
            return
        # One line, whatever is in it: Lambda makes a record of each line, and only the first has the mark.
        one_line = " | ".join(message.split("\n"))[:_LONGEST_LINE].replace("\r", " ")
        try:  # noqa: SIM105  # contextlib costs more than all that is imported before register
            posix.write(self._file, f"{MARK} {level.upper()} {one_line}\n".encode("utf-8", "replace"))
        except OSError:
            pass
