"""Fast path for ordinary log lines: in a runtime's own format, below ERROR, of a known invocation.

Such lines differ only in time, text and attributes, so the general path (`log_lines`) parses and encodes the rest once.
Both paths produce the same bytes: a test compares them. Pure; never raises.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from telemetry_forwarder.invocations.invocation import Invocation
from telemetry_forwarder.log_formats import severity
from telemetry_forwarder.log_formats.json_keys import BODY, REQUEST_ID, SEVERITY, TIME, find_shape, read_time
from telemetry_forwarder.log_formats.parsed_line import ParsedLine, reconcile_time
from telemetry_forwarder.log_formats.parser import START, may_continue
from telemetry_forwarder.otlp.log_encoding import record_attributes
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.telemetry.json_values import INEXACT_TYPES, may_have_lost_digits
from telemetry_forwarder.telemetry.records import LogLine
from telemetry_forwarder.telemetry.timestamps import parse_time_ns

# Pairs of level and request id in one format; and JSON loggers, each with as many pairs.
_MAX_PAIRS = 256
_MAX_LOGGERS = 16
# Of a Telemetry API event: time, type, record.
_MEMBERS = 3

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Common = tuple[bytes, Invocation]
"""What lines of one level and invocation have in common: the encoded fields, and the invocation."""
_CommonByPair = dict[tuple[str, str], _Common]
"""By level and request id, as the line spells them."""
_FastLine = tuple[_Common, str, str, bytes]
"""The common part, the line's own timestamp, its text and its encoded attributes."""


class _Logger(NamedTuple):
    """JSON objects that have the same keys: the four fields of a runtime, each once, and no other known field."""

    message: str
    level: str
    time: str
    request_id: str
    others: tuple[tuple[str, Callable[[Any], bytes]], ...]
    """The unknown keys, each with the encoder of its value."""
    common: _CommonByPair


class FastPath:
    """Remembers what lines have in common. Call `forget` whenever an invocation changes."""

    def __init__(self, logs: LogEncoder) -> None:
        self._add_record = logs.records("function").add
        self._bracketed: _CommonByPair = {}
        self._dated: _CommonByPair = {}
        self._loggers: dict[tuple[str, ...], _Logger] = {}

    def forget(self) -> None:
        self._bracketed.clear()
        self._dated.clear()
        self._loggers.clear()

    def learn(self, log_line: LogLine, parsed: ParsedLine, *, fixed: bytes, invocation: Invocation) -> None:
        """Remember a line of the general path, so that lines like it can take this one.

        *fixed* is what `LogEncoder.add_line` returned. *invocation* is the only attempt of its request: otherwise
        the time of each line would decide between the attempts.
        """
        is_ordinary = 0 < parsed.severity_number < severity.ERROR
        # Other lines like it do not name the trace that this one may name.
        if not is_ordinary or parsed.trace_id or parsed.request_id != invocation.request_id:
            return
        record, common = log_line.record, (fixed, invocation)
        if type(record) is dict:
            self._learn_object(record, parsed, common)
        elif type(record) is str and not parsed.attributes:
            self._learn_text(record, parsed, common)

    def convert(self, event: Any, observed: bytes) -> bool:
        """Encode *event*, a member of a post, if it is an ordinary line; return whether it was.

        *observed* is the result of `encode_observed_time`.
        """
        try:
            record, time = event["record"], event["time"]
            if event["type"] != "function" or len(event) != _MEMBERS:
                return False
        except (KeyError, TypeError):
            return False
        parsed = self._parse_text(record) if type(record) is str else self._parse_object(record)
        if parsed is None:
            return False
        (fixed, invocation), timestamp, text, attributes = parsed
        event_ns = parse_time_ns(time)
        time_ns = event_ns if timestamp == time else reconcile_time(parse_time_ns(timestamp), event_ns=event_ns)
        if not event_ns or not time_ns:
            return False
        if event_ns > invocation.last_line_ns:  # noqa: PLR1730  # runs for every line: `max` is a call
            invocation.last_line_ns = event_ns
        self._add_record(time_ns, observed, fixed, text, attributes)
        return True

    def _learn_text(self, record: str, parsed: ParsedLine, common: _Common) -> None:
        columns = record.split("\t", 3)
        if len(columns) != 4:
            return
        first, second, third, _ = columns
        level, request_id = parsed.severity_text, parsed.request_id
        if (first, third) == (f"[{level}]", request_id):
            _remember(self._bracketed, (first, third), common, limit=_MAX_PAIRS)
        elif (third, second) == (level, request_id):
            _remember(self._dated, (third, second), common, limit=_MAX_PAIRS)

    def _parse_text(self, record: str) -> _FastLine | None:
        columns = record.split("\t", 3)
        # No `except ValueError` around the unpacking: prints are frequent, and an exception costs as much as the rest.
        if len(columns) != 4:
            return None
        first, second, third, text = columns
        # Python writes `[INFO]⇥time⇥id⇥text`, Node.js and .NET write `time⇥id⇥INFO⇥text`.
        common, timestamp = self._bracketed.get((first, third)), second
        if common is None:
            common, timestamp = self._dated.get((third, second)), first
            # The general path requires a digit at the start; a timestamp alone may also begin with spaces.
            if common is None or first < "0":
                return None
        text = text.removesuffix("\n")
        # Several lines may contain a stack trace, some messages are a line of their own, and some name a trace.
        if "\n" in text or "\r" in text or ("=" in text and "race" in text) or may_continue[text[START]]:
            return None
        return common, timestamp, text, b""

    def _learn_object(self, record: dict[str, Any], parsed: ParsedLine, common: _Common) -> None:
        keys = tuple(record)
        logger = self._loggers.get(keys) or _logger_of(keys)
        pair = (parsed.severity_text, parsed.request_id)
        if logger is None or (record[logger.level], record[logger.request_id]) != pair:
            return
        _remember(logger.common, pair, common, limit=_MAX_PAIRS)
        _remember(self._loggers, keys, logger, limit=_MAX_LOGGERS)

    def _parse_object(self, record: Any) -> _FastLine | None:
        logger = self._loggers.get(tuple(record)) if type(record) is dict else None
        if logger is None:
            return None
        message, level, time, request_id, others, common_by_pair = logger
        text, timestamp = record[message], record[time]
        try:
            common = common_by_pair.get((record[level], record[request_id]))
        except TypeError:
            return None  # A list or an object cannot be a key.
        if type(text) is not str or "\n" in text or "\r" in text:
            return None
        if ("=" in text and "race" in text) or may_continue[text[START]]:
            return None
        # A number that equals the event's time need not be the same time: a float is not exact.
        if common is None or type(timestamp) is not str:
            return None
        attributes = []
        for key, encode in others:
            value = record[key]
            if type(value) in INEXACT_TYPES and may_have_lost_digits(value):
                return None
            attributes.append(encode(value))
        return common, timestamp, text, b"".join(attributes)


def _logger_of(keys: tuple[str, ...]) -> _Logger | None:
    """Return the logger of objects with *keys*; None if they have other fields, or are too many to be remembered."""
    try:
        shape = find_shape(keys)
    except ValueError:
        return None
    if shape is None or shape.containers or {kind for _, kind, _ in shape.fields} != {BODY, SEVERITY, TIME, REQUEST_ID}:
        return None
    # The other readers of a time do not accept text.
    if any(kind == TIME and read is not read_time for _, kind, read in shape.fields):
        return None
    key_of = {kind: key for key, kind, _ in shape.fields}
    others = tuple([(key, record_attributes[name].encode) for key, name in shape.others])
    return _Logger(key_of[BODY], key_of[SEVERITY], key_of[TIME], key_of[REQUEST_ID], others, {})


def _remember(known: dict[_Key, _Value], key: _Key, value: _Value, *, limit: int) -> None:
    if key not in known and len(known) >= limit:
        known.clear()
    known[key] = value
