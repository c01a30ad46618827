"""The short way for the lines that most logs consist of: a runtime's own, below an error, of a known invocation.

All but time, text and attributes is the same for thousands of them, so it is read and encoded once. Whatever is not
quite so takes the long way, through `decoding`, `formats` and `LogEncoder.add_line`, and this says the same of a line
as that would: a test compares the two. Pure; never raises.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.log_formats import severity
from telemetry_forwarder.log_formats.json_keys import Plan, plan_of
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, reconcile_time
from telemetry_forwarder.otlp.log_encoding import ATTRIBUTES
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.telemetry.records import LogLine
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

# Levels of the invocations of one post; and loggers, in each of which these are known.
_MOST_KNOWN = 256
_MOST_LOGGERS = 16
# Of an event: time, type, record.
_MEMBERS = 3

_Common = tuple[bytes, Invocation]
_Read = tuple[_Common, str, str, bytes]
"""What a line has in common with others, its own moment, its text and its attributes."""
_Known = dict[tuple[str, str], _Common]
"""By level and request id, as a line spells them: what is the same for all such lines, and whose they are."""


class _Logger(NamedTuple):
    """Of objects with certain keys: what those mean, what encodes the others, and what such lines have in common."""

    plan: Plan
    others: tuple[tuple[str, Callable[[Any], bytes]], ...]
    known: _Known


class FastPath:
    """Remembers what lines have in common until `forget`, which any news of an invocation calls for."""

    def __init__(self, logs: LogEncoder) -> None:
        self._encode = logs.of("function").add
        self._bracketed: _Known = {}
        self._dated: _Known = {}
        self._loggers: dict[tuple[str, ...], _Logger] = {}

    def forget(self) -> None:
        self._bracketed.clear()
        self._dated.clear()
        self._loggers.clear()

    def learn(self, record: LogLine, line: ParsedLine, fixed: bytes, invocation: Invocation) -> None:
        """Take note of a line that has gone the long way, where others like it need not; *fixed* is from there.

        *invocation* is the only attempt of its request: else the time of each line would tell whose it is.
        """
        is_plain = 0 < line.severity_number < severity.ERROR
        if not is_plain or line.request_id != invocation.request_id:
            return
        said = record.record
        if type(said) is dict:
            self._learn_object(said, line, (fixed, invocation))
        elif type(said) is str and not line.attributes:
            self._learn_text(said, line, (fixed, invocation))

    def _learn_text(self, said: str, line: ParsedLine, common: _Common) -> None:
        parts = said.split("\t", 3)
        if len(parts) != 4:
            return
        first, second, third, _ = parts
        level, request_id = line.severity_text, line.request_id
        if (first, third) == (f"[{level}]", request_id):
            _remember(self._bracketed, (first, third), common)
        elif (third, second) == (level, request_id):
            _remember(self._dated, (third, second), common)

    def _learn_object(self, said: dict[str, Any], line: ParsedLine, common: _Common) -> None:
        keys = tuple(said)
        plan = plan_of(keys)
        if plan is None or (said[plan.level], said[plan.request_id]) != (line.severity_text, line.request_id):
            return
        logger = self._loggers.get(keys)
        if logger is None:
            if len(self._loggers) >= _MOST_LOGGERS:
                self._loggers.clear()
            others = tuple([(key, ATTRIBUTES[key].field) for key in plan.others])
            logger = self._loggers[keys] = _Logger(plan, others, {})
        _remember(logger.known, (line.severity_text, line.request_id), common)

    def add(self, event: Any, observed: bytes) -> bool:
        """Encode what *event* of a post says, if that is a usual line; False where it has to go the long way.

        *observed* is what `observed_field` gives.
        """
        try:
            said, time = event["record"], event["time"]
            if event["type"] != "function" or len(event) != _MEMBERS:
                return False
        except (KeyError, TypeError):
            return False
        read = self._read_text(said) if type(said) is str else self._read_object(said)
        if read is None:
            return False
        (fixed, invocation), moment, text, attributes = read
        event_ns = parse_time_ns(time)
        moment_ns = event_ns if moment == time else reconcile_time(parse_time_ns(moment), event_ns=event_ns)
        if not event_ns or not moment_ns:
            return False
        if event_ns > invocation.last_line_ns:
            invocation.last_line_ns = event_ns
        self._encode(moment_ns, observed, fixed, text, attributes)
        return True

    def _read_text(self, said: str) -> _Read | None:
        parts = said.split("\t", 3)
        # Not by what unpacking raises: prints are many, and that would take as long as the rest of this.
        if len(parts) != 4:
            return None
        first, second, third, text = parts
        # `[INFO]⇥moment⇥id⇥text` is Python's, `moment⇥id⇥INFO⇥text` Node's and .NET's.
        common, moment = self._bracketed.get((first, third)), second
        if common is None:
            common, moment = self._dated.get((third, second)), first
            # The long way knows these lines by their first digit; what is a moment may also begin with spaces.
            if common is None or first < "0":
                return None
        text = text.removesuffix("\n") if "\r" not in text else _without_end(text)
        return common, moment, text, b""

    def _read_object(self, said: Any) -> _Read | None:
        logger = self._loggers.get(tuple(said)) if type(said) is dict else None
        if logger is None:
            return None
        (message, level, moment, request_id, _), others, known = logger
        text, moment_said = said[message], said[moment]
        try:
            common = known.get((said[level], said[request_id]))
        except TypeError:
            return None  # A list or an object can be no key.
        # A number that is equal to the event's need not be the same moment: a float is not exact.
        if common is None or type(text) is not str or type(moment_said) is not str:
            return None
        return common, moment_said, text, b"".join([encode(said[key]) for key, encode in others])


def _remember(known: _Known, key: tuple[str, str], common: _Common) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[key] = common


def _without_end(text: str) -> str:
    line = text.removesuffix("\n")
    return line.removesuffix("\r") if len(line) < len(text) else text
