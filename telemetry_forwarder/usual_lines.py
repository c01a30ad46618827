"""The short way for the lines that most logs consist of: a runtime's own, below an error, of a known invocation.

All but time, text and attributes is the same for thousands of them, so it is read and encoded once. Whatever is not
quite so takes the long way, through `formats` and `LogEncoder.add_line`, and this says the same of a line as that
would: a test compares the two. Pure; never raises.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from telemetry_forwarder import severity
from telemetry_forwarder.invocation import Invocation
from telemetry_forwarder.json_fields import Plan, plan_of
from telemetry_forwarder.line import Line, believed_moment
from telemetry_forwarder.otlp.logs import LogEncoder
from telemetry_forwarder.records import LogLine
from telemetry_forwarder.timestamps import time_ns

# Levels of the invocations of one post; and loggers, in each of which these are known.
_MOST_KNOWN = 256
_MOST_PLANS = 16

_Known = dict[tuple[str, str], tuple[bytes, Invocation]]
"""By level and request id, as a line spells them: what is the same for all such lines, and whose they are."""


class UsualLines:
    """Remembers what lines have in common until `forget`, which any news of an invocation calls for."""

    def __init__(self, logs: LogEncoder) -> None:
        self._logs = logs
        self._bracketed: _Known = {}
        self._dated: _Known = {}
        self._objects: dict[tuple[str, ...], tuple[Plan, _Known]] = {}

    def forget(self) -> None:
        self._bracketed.clear()
        self._dated.clear()
        self._objects.clear()

    def learn(self, record: LogLine, line: Line, fixed: bytes, invocation: Invocation) -> None:
        """Take note of a line that has gone the long way, where others like it need not; *fixed* is from there."""
        is_plain = line.severity_number < severity.ERROR and not line.is_exception
        if not is_plain or line.request_id != invocation.request_id or invocation.former is not None:
            return
        said = record.record
        if type(said) is dict:
            self._learn_object(said, line, (fixed, invocation))
        elif type(said) is str and not line.attributes:
            self._learn_text(said, line, (fixed, invocation))

    def _learn_text(self, said: str, line: Line, common: tuple[bytes, Invocation]) -> None:
        parts = said.split("\t", 3)
        if len(parts) != 4:
            return
        first, second, third, _ = parts
        level, request_id = line.severity_text, line.request_id
        if (first, third) == (f"[{level}]", request_id):
            _remember(self._bracketed, (first, third), common)
        elif (third, second) == (level, request_id):
            _remember(self._dated, (third, second), common)

    def _learn_object(self, said: dict[str, Any], line: Line, common: tuple[bytes, Invocation]) -> None:
        keys = tuple(said)
        plan = plan_of(keys)
        if plan is None or (said[plan.level], said[plan.request_id]) != (line.severity_text, line.request_id):
            return
        if keys not in self._objects and len(self._objects) >= _MOST_PLANS:
            self._objects.clear()
        _, known = self._objects.setdefault(keys, (plan, {}))
        _remember(known, (line.severity_text, line.request_id), common)

    def add(self, record: LogLine) -> bool:
        """Encode *record*, if it is of the function; False where it has to go the long way."""
        said = record.record
        if record.extra or record.origin != "function":
            return False
        if type(said) is not str:
            return type(said) is dict and self._add_object(record, said)
        parts = said.split("\t", 3)
        if len(parts) != 4:
            return False
        first, second, third, text = parts
        # `[INFO]⇥moment⇥id⇥text` is Python's, `moment⇥id⇥INFO⇥text` Node's and .NET's.
        if first[:1] == "[":
            common, moment = self._bracketed.get((first, third)), second
        elif "0" <= first[:1] <= "9":
            common, moment = self._dated.get((third, second)), first
        else:
            return False
        if text[-1:] == "\n":
            text = text[:-2] if text[-2:-1] == "\r" else text[:-1]
        return common is not None and self._add(record, common, moment, text)

    def _add_object(self, record: LogLine, said: dict[str, Any]) -> bool:
        found = self._objects.get(tuple(said))
        if found is None:
            return False
        (message, level, moment, request_id, others), known = found
        text, moment_said, id_said, level_said = said[message], said[moment], said[request_id], said[level]
        # Values of other kinds are not what a runtime writes, and some can be no key.
        if not (type(text) is type(moment_said) is type(id_said) is type(level_said) is str):
            return False
        common = known.get((level_said, id_said))
        return common is not None and self._add(record, common, moment_said, text, said, others)

    def _add(
        self,
        record: LogLine,
        common: tuple[bytes, Invocation],
        moment: str,
        text: str,
        said: Mapping[str, Any] = MappingProxyType({}),
        others: Iterable[str] = (),
    ) -> bool:
        moment_ns = believed_moment(time_ns(moment), record.time_ns)
        if not moment_ns:
            return False
        fixed, invocation = common
        if record.time_ns > invocation.last_line_ns:
            invocation.last_line_ns = record.time_ns
        self._logs.add_text(record, moment_ns, fixed, text, said, others)
        return True


def _remember(known: _Known, key: tuple[str, str], common: tuple[bytes, Invocation]) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[key] = common
