"""Joins the fragments of a record that Lambda has cut. No I/O; never raises; bounded.

Lambda cuts a record longer than about 256 KiB in mid-JSON. Each fragment arrives in its own envelope, whose `record` is
a raw run of the record's bytes: `"record":{"message":"AAAA}` and then `"record":BBBB"}}`, in one post or in two.
A fragment belongs to the previous one if both together could still become JSON.
"""

from typing import NamedTuple

from telemetry_forwarder.telemetry.json_scanner import Status, scan

# Functions can log lines of a few hundred KiB; this is far more, and bounds the memory held here.
_MAX_HELD_BYTES = 8_388_608
# `function`, `extension`, and damaged names of them.
_MAX_HELD_TYPES = 16


class Fragment(NamedTuple):
    """A run of bytes of one record, and the envelope that it came in."""

    type: str
    time: str
    raw: bytes
    observed_ns: int
    is_complete: bool = False
    """Whether *raw* is JSON; if not, the rest of the record never arrived."""


class Reassembler:
    """Holds, for each type, the one record whose rest has not arrived."""

    def __init__(self) -> None:
        self._held: dict[str, Fragment] = {}

    @property
    def count(self) -> int:
        """The number of incomplete records held."""
        return len(self._held)

    def holds(self, type_: str) -> bool:
        return type_ in self._held

    def ends_in_escape(self, type_: str) -> bool:
        """Return whether the held record of a type ends within an escape, after the `\\` of `\\"`.

        Then the next fragment belongs to it, even though the rest of such a string is valid JSON by itself.
        """
        raw = self._held[type_].raw if self.holds(type_) else b""
        return (len(raw) - len(raw.rstrip(b"\\"))) % 2 == 1

    def accepts(self, fragment: Fragment) -> bool:
        """Return whether *fragment* can continue the held record of its type, or begin one if none is held."""
        held = self._held.get(fragment.type)
        return _status((held.raw if held else b"") + fragment.raw) is not Status.INVALID

    def add(self, fragment: Fragment) -> list[Fragment]:
        """Take the next fragment; return what is now complete, or will never be, oldest first."""
        held = self._held.pop(fragment.type, None)
        # Lambda resends a post that it believes lost: joined with itself, a fragment could pass for JSON. A later
        # fragment may be equal to the one before it.
        if held is None or (held.raw, held.time) == (fragment.raw, fragment.time):
            return self._settle(fragment, _status(fragment.raw))
        joined = held._replace(raw=held.raw + fragment.raw)
        status = _status(joined.raw) if len(joined.raw) <= _MAX_HELD_BYTES else Status.INVALID
        if status is Status.INVALID:
            return [held, *self._settle(fragment, _status(fragment.raw))]
        return self._settle(joined, status)

    def release(self, *, observed_before_ns: int | None = None) -> list[Fragment]:
        """Stop waiting: return the held fragments, all or those first observed before a time."""
        released = [
            fragment
            for fragment in self._held.values()
            if observed_before_ns is None or fragment.observed_ns < observed_before_ns
        ]
        for fragment in released:
            del self._held[fragment.type]
        return released

    def _settle(self, fragment: Fragment, status: Status) -> list[Fragment]:
        if status is not Status.INCOMPLETE or not fragment.raw:
            return [fragment._replace(is_complete=status is Status.COMPLETE)]
        held_bytes = sum(len(each.raw) for each in self._held.values())
        if len(self._held) == _MAX_HELD_TYPES or held_bytes + len(fragment.raw) > _MAX_HELD_BYTES:
            return [fragment]
        self._held[fragment.type] = fragment
        return []


def _status(raw: bytes) -> Status:
    status, end = scan(raw)
    # Only surplus closing brackets are accepted: Lambda has sent a platform.report with one.
    if status is Status.COMPLETE and raw[end:].strip(b" \t\r\n}"):
        return Status.INVALID
    return status
