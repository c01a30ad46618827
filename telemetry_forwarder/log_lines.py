"""Lines of the function and of extensions -> log records, each of its invocation. Pure; never raises."""

from telemetry_forwarder.batch import LOGS
from telemetry_forwarder.config import Settings
from telemetry_forwarder.diagnostics import is_own_line
from telemetry_forwarder.formats import read_line, tells_out_of_memory
from telemetry_forwarder.invocations import Invocation, Invocations
from telemetry_forwarder.ledger import Ledger
from telemetry_forwarder.line import Line
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.records import LogLine
from telemetry_forwarder.usual_lines import UsualLines


class LogLines:
    """Gives each line to its invocation, and what it says to the encoder."""

    def __init__(
        self, settings: Settings, encoder: LogEncoder, invocations: Invocations, ledger: Ledger
    ) -> None:
        self._encoder = encoder
        self._usual = UsualLines(encoder)
        # Asked for every line, so without a call in between.
        self.add_usual = self._usual.add
        """The short way, as `UsualLines.add`: whether it has taken an event of a post."""
        self._invocations = invocations
        self._ledger = ledger
        self._keep_raw = settings.keep_raw
        self._are_wanted = "logs" in settings.signals

    def forget(self) -> None:
        """There is news of an invocation."""
        self._usual.forget()

    def add(self, record: LogLine) -> None:
        """The long way, for any line."""
        if self._is_left_out(record):
            return
        line = read_line(record.record, keep_raw=self._keep_raw)
        invocation = self._owner(record, line) if record.origin == "function" else None
        if invocation is not None:
            _note(invocation, record.time_ns, line)
        if self._are_wanted:
            fixed = self._encoder.add_line(record, line, invocation)
            if invocation is None or self._keep_raw:
                return
            if self._invocations.is_only_attempt(invocation):
                self._usual.learn(record, line, fixed, invocation)

    def add_past(self, record: LogLine) -> None:
        """To no invocation: those of this life have nothing to do with it, even where a retry has the same id."""
        if self._are_wanted and not self._is_left_out(record):
            self._encoder.add_line(record, read_line(record.record, keep_raw=self._keep_raw), None)

    def _is_left_out(self, record: LogLine) -> bool:
        is_own = record.origin == "extension" and is_own_line(record.record)
        if is_own:
            self._ledger.left_out(LOGS, 1, "own line")
        return is_own

    def _owner(self, record: LogLine, line: Line) -> Invocation | None:
        invocation = self._invocations.of_line(line.request_id, record.time_ns)
        if invocation is not None or not line.request_id:
            return invocation
        # An id that nobody knows is the user's, and tells nothing.
        latest = self._invocations.of_line("", record.time_ns)
        if latest and latest.done and latest.done.time_ns < record.time_ns and line.has_likely_request_id:
            # It may be of the next one, of which Lambda has not told us yet.
            return None
        return latest


def _note(invocation: Invocation, time_ns: int, line: Line) -> None:
    """What a line of that moment tells of its invocation's fate."""
    if time_ns > invocation.last_line_ns:
        invocation.last_line_ns = time_ns
    is_its_own = line.request_id in ("", invocation.request_id)
    if line.is_exception and is_its_own and not invocation.exception_type:
        invocation.exception_type = line.exception_type or "exception"
    if tells_out_of_memory(line):
        invocation.has_run_out_of_memory = True
