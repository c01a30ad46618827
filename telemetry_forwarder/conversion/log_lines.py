"""Lines of the function and of extensions -> log records, each of its invocation. Pure; never raises."""

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.fast_path import FastPath
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.diagnostics import is_own_line
from telemetry_forwarder.invocations.tracker import Invocation, InvocationTracker
from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.log_formats.parser import read_line, reports_out_of_memory
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.records import LogLine

NOT_WANTED = "not wanted as logs"


class LogLines:
    """Gives each line to its invocation, and what it says to the encoder."""

    def __init__(
        self, settings: Settings, encoder: LogEncoder, invocations: InvocationTracker, ledger: Ledger
    ) -> None:
        self._encoder = encoder
        self._usual = FastPath(encoder)
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
        if record.origin != "function":
            self.add_alone(record)
            return
        line = read_line(record.record, keep_raw=self._keep_raw)
        invocation = self._invocations.find(line.request_id, record.time_ns)
        if invocation is None and line.request_id:
            invocation = self._owner_of_stranger(line, record.time_ns)
        if invocation is not None:
            _note(invocation, record.time_ns, line)
        if self._are_wanted:
            fixed = self._encoder.add_line(record, line, invocation)
            if invocation is None or self._keep_raw:
                return
            if self._invocations.is_only_attempt(invocation):
                self._usual.learn(record, line, fixed, invocation)
        else:
            self._ledger.filtered(LOGS, 1, NOT_WANTED)

    def add_alone(self, record: LogLine) -> None:
        """To no invocation: a line of an extension, or of an earlier life.

        Those of this life have nothing to do with the latter, even where a retry has the same id.
        """
        if record.origin == "extension" and is_own_line(record.record):
            self._ledger.filtered(LOGS, 1, "own line")
        elif self._are_wanted:
            self._encoder.add_line(record, read_line(record.record, keep_raw=self._keep_raw), None)
        else:
            self._ledger.filtered(LOGS, 1, NOT_WANTED)

    def _owner_of_stranger(self, line: ParsedLine, time_ns: int) -> Invocation | None:
        """The invocation of a line whose id nobody knows: it is the user's, and tells nothing."""
        latest = self._invocations.find("", time_ns)
        if latest and latest.done and latest.done.time_ns < time_ns and line.has_likely_request_id:
            # It may be of the next one, of which Lambda has not told us yet.
            return None
        return latest


def _note(invocation: Invocation, time_ns: int, line: ParsedLine) -> None:
    """What a line of that moment tells of its invocation's fate."""
    if time_ns > invocation.last_line_ns:
        invocation.last_line_ns = time_ns
    is_its_own = line.request_id in ("", invocation.request_id)
    if line.is_exception and is_its_own and not invocation.exception_type:
        invocation.exception_type = line.exception_type or "exception"
    if reports_out_of_memory(line):
        invocation.has_run_out_of_memory = True
