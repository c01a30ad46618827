"""Log lines of the function and of extensions -> log records, each with its invocation. Pure; never raises."""

from collections.abc import Sequence

from telemetry_forwarder.buffer.ledger import Ledger
from telemetry_forwarder.conversion.fast_path import FastPath
from telemetry_forwarder.conversion.line_joiner import announces_message, collect_lines, join_lines, may_follow
from telemetry_forwarder.conversion.lookahead import Lookahead
from telemetry_forwarder.core.batch import LOGS
from telemetry_forwarder.diagnostics import is_own_line
from telemetry_forwarder.invocations.durable import find_execution
from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.invocations.tracker import InvocationTracker
from telemetry_forwarder.log_formats.parsed_line import ParsedLine
from telemetry_forwarder.log_formats.parser import read_line, reports_out_of_memory
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.settings import Settings
from telemetry_forwarder.telemetry.records import LogLine

LOGS_DISABLED = "logs disabled"
_JOINED = "joined with the line before"


class LogLineConverter:
    """Finds the invocation of each line, and encodes the line."""

    def __init__(
        self,
        settings: Settings,
        encoder: LogEncoder,
        *,
        fast_path: FastPath,
        invocations: InvocationTracker,
        ledger: Ledger,
        function_name: str,
    ) -> None:
        self._encoder = encoder
        self._fast_path = fast_path
        self._invocations = invocations
        self._ledger = ledger
        self._function_name = function_name
        self._keep_raw = settings.keep_raw
        # Where invocations run concurrently, lines of several may alternate.
        self._joins_lines = settings.joins_lines and not invocations.is_managed
        self._are_logs_enabled = "logs" in settings.signals

    def join(self, line: LogLine, ahead: Lookahead) -> Sequence[LogLine]:
        """Return *line* joined with the stack trace that follows it, or the lines that were no stack trace.

        What is returned is removed from what is *ahead*.
        """
        if not self._joins_lines or not (may_follow(ahead) or announces_message(line)):
            return (line,)
        beyond = ahead.taken_beyond
        lines = collect_lines(line, ahead)
        self._ledger.records_received += ahead.taken_beyond - beyond
        joined = join_lines(lines) if len(lines) > 1 else None
        if joined is None:
            return lines
        self._ledger.filtered(LOGS, len(lines) - 1, _JOINED)
        return (joined,)

    def convert(self, line: LogLine) -> None:
        """Encode any line."""
        if line.origin != "function":
            self.convert_without_invocation(line)
            return
        parsed = read_line(line.record, keep_raw=self._keep_raw)
        invocation = self._invocation_of(parsed, line.time_ns)
        execution = find_execution(parsed.attributes, self._function_name) if parsed.attributes else ""
        if invocation is not None:
            _note_failure(invocation, parsed, time_ns=line.time_ns)
            if execution and not invocation.execution:
                # Its other lines get the execution from now on.
                invocation.execution = execution
                self._fast_path.forget()
        elif parsed.is_uncaught_exception:
            self._invocations.note_exception(parsed.exception_message, line.time_ns)
        if not self._are_logs_enabled:
            self._ledger.filtered(LOGS, 1, LOGS_DISABLED)
            return
        fixed = self._encoder.add_line(line, parsed, invocation, execution=execution)
        if invocation is None or not parsed.request_id or self._keep_raw:
            return
        if self._invocations.is_only_attempt(invocation):
            self._fast_path.learn(line, parsed, fixed=fixed, invocation=invocation)

    def convert_without_invocation(self, line: LogLine) -> None:
        """Encode a line of an extension, or one that an earlier process of the environment received.

        A retry may have the same request id in both processes, so lines of the earlier one are assigned to none.
        """
        if line.origin == "extension" and is_own_line(line.record):
            self._ledger.filtered(LOGS, 1, "own log line")
        elif self._are_logs_enabled:
            parsed = read_line(line.record, keep_raw=self._keep_raw)
            execution = find_execution(parsed.attributes, self._function_name)
            self._encoder.add_line(line, parsed, None, execution=execution)
        else:
            self._ledger.filtered(LOGS, 1, LOGS_DISABLED)

    def _invocation_of(self, parsed: ParsedLine, time_ns: int) -> Invocation | None:
        invocation = self._invocations.find(parsed.request_id, time_ns)
        if invocation is not None or not parsed.request_id:
            return invocation
        # No invocation has this id, so it is the user's and does not identify the invocation.
        latest = self._invocations.find("", time_ns)
        if latest and latest.done and latest.done.time_ns < time_ns and parsed.has_likely_request_id:
            # Or it is the next invocation's, whose events have not arrived yet.
            return None
        return latest


def _note_failure(invocation: Invocation, parsed: ParsedLine, *, time_ns: int) -> None:
    """Record in *invocation* what a line of that moment reports about its failure."""
    if time_ns > invocation.last_line_ns:  # noqa: PLR1730  # runs for every line: `max` is a call
        invocation.last_line_ns = time_ns
    is_first = parsed.is_uncaught_exception and not invocation.exception_type
    if is_first and parsed.request_id in ("", invocation.request_id):
        invocation.exception_type = parsed.exception_type or "exception"
        invocation.exception_message = parsed.exception_message
    if reports_out_of_memory(parsed):
        invocation.has_run_out_of_memory = True
