"""The short way for the lines that most logs consist of: a runtime's own text, below an error, of a known invocation.

All but time and text is the same for thousands of them, so it is read and encoded once. Whatever is not quite so takes
the long way, through `formats` and `LogEncoder.add_line`, and this says the same of a line as that would: a test
compares the two. Pure; never raises.
"""

from telemetry_forwarder import severity
from telemetry_forwarder.invocation import Invocation
from telemetry_forwarder.line import Line, is_believable
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.records import LogLine
from telemetry_forwarder.timestamps import time_ns

# Levels of the invocations of one post.
_MOST_KNOWN = 256


class UsualLines:
    """Remembers what lines have in common until `forget`, which any news of an invocation calls for."""

    def __init__(self, logs: LogEncoder) -> None:
        self._logs = logs
        self._known: dict[tuple[str, str], tuple[bytes, Invocation]] = {}

    def forget(self) -> None:
        self._known.clear()

    def learn(self, record: LogLine, line: Line, fixed: bytes, invocation: Invocation) -> None:
        """Take note of a line that has gone the long way, where others like it need not; *fixed* is from there."""
        is_plain = line.severity_number < severity.ERROR and not line.attributes and not line.trace_id
        if not (is_plain and line.request_id == invocation.request_id and invocation.former is None):
            return
        parts = record.record.split("\t", 3)
        if len(parts) != 4:
            return
        first, second, third, _ = parts
        level, request_id = line.severity_text, line.request_id
        if (first, third) == (f"[{level}]", request_id) or (third, second) == (level, request_id):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            key = (first, third) if first[0] == "[" else (third, second)
            self._known[key] = fixed, invocation

    def add(self, record: LogLine) -> bool:
        """Encode *record*, a text of the function; False where it has to go the long way."""
        parts = record.record.split("\t", 3)
        if len(parts) != 4 or record.extra:
            return False
        first, second, third, text = parts
        # `[INFO]⇥moment⇥id⇥text` is Python's, `moment⇥id⇥INFO⇥text` Node's and .NET's.
        if first[:1] == "[":
            known, moment = self._known.get((first, third)), second
        elif "0" <= first[:1] <= "9":
            known, moment = self._known.get((third, second)), first
        else:
            return False
        event_ns = record.time_ns
        if known is None or not is_believable(moment_ns := time_ns(moment), event_ns):
            return False
        if text[-1:] == "\n":
            text = text[:-2] if text[-2:-1] == "\r" else text[:-1]
        fixed, invocation = known
        if event_ns > invocation.last_line_ns:
            invocation.last_line_ns = event_ns
        self._logs.add_text(record.origin, moment_ns, record.observed_ns, fixed, text)
        return True
