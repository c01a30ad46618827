"""Finds envelopes in a post that is not JSON: `{"time":…,"type":…,"record":` as Lambda writes them. Pure."""

import re

from telemetry_forwarder.telemetry.json_scanner import Status, scan

# Up to the colon only: a space after it may be the first byte of a fragment.
_ENVELOPE = re.compile(rb'\{\s*+"time"\s*+:\s*+"([^"]*+)"\s*+,\s*+"type"\s*+:\s*+"([^"]*+)"\s*+,\s*+"record"\s*+:')
_NEXT = re.compile(rb"\}\s*+(?:,\s*+)?+(?=%s)" % _ENVELOPE.pattern)
_SEPARATORS = re.compile(rb"[ \t\r\n,\[\]]*+")
_RECORD = b'","record":'
# As Lambda writes it. Within a string the quotes would be escaped; within a record it is possible.
_NEXT_EVENT = b'},{"time":"'

Envelope = re.Match[bytes]
"""Its groups are the time and the type; its end is where the record begins."""


match_envelope = _ENVELOPE.match


def find_next_envelope(body: bytes, start: int) -> tuple[int, int] | None:
    """Return where the record before the next envelope ends, and where that envelope begins."""
    return match.span() if (match := _NEXT.search(body, start)) else None


def find_end_of_garbage(body: bytes, at: int) -> int:
    """Return where the next envelope after *at* begins; the end of *body* if there is none."""
    return match.start() if (match := _ENVELOPE.search(body, at + 1)) else len(body)


def find_end_of_value(body: bytes, at: int, end: int) -> int:
    """Return where an envelope begins in the JSON value from *at* to *end*, which is no object or array; else *end*.

    The first quote of an envelope would end a string, so it can only begin with the last brace. Looking for it in all
    of *body* would take hours for a few megabytes of short values.
    """
    brace = body.rfind(b"{", at + 1, end)
    return brace if brace >= 0 and match_envelope(body, brace) else end


def find_end_of_slice(body: bytes, start: int) -> int:
    """Return where the first event that ends at or after *start* seems to end; the end of *body* if none does."""
    found = body.find(_NEXT_EVENT, start)
    return len(body) if found < 0 else found + 1


def find_end_of_event(body: bytes, start: int) -> int:
    """Return where the event that begins at *start* seems to end, in an array or in a line of its own."""
    if not body.startswith(b"["):
        found = body.find(b"\n", start)
        return len(body) if found < 0 else found
    end = find_end_of_slice(body, start)
    return end if end < len(body) else len(body.rstrip(b" \t\r\n").removesuffix(b"]"))


def skip_separators(body: bytes, at: int) -> int:
    return _SEPARATORS.match(body, at).end()  # type: ignore[union-attr]  # matches anywhere


def is_boundary(body: bytes, at: int) -> bool:
    """Return whether an event ends at *at*, so that only another event follows, or nothing."""
    at = skip_separators(body, at)
    return at == len(body) or match_envelope(body, at) is not None


def strip_frame(rest: bytes) -> bytes:
    """Remove the end of the array and of the last envelope from the *rest* of a body."""
    rest = rest.rstrip(b" \t\r\n").removesuffix(b"]")
    return rest.rstrip(b" \t\r\n").removesuffix(b"}")


def may_contain_cut_record(body: bytes, events: int) -> bool:
    """Return whether *body*, valid JSON with this number of events, contains more envelopes than events.

    A list of objects that was cut within a number is valid JSON: in `[{"a":1},{"time":…,"type":…,"record":2}]`, the
    record of the first fragment's envelope, the second fragment is in an envelope of its own.
    """
    return body.count(_RECORD) > events


def split_cut_record(event: bytes) -> list[bytes]:
    """Return the fragments of the record if *event*, which is valid JSON, is a record that was cut; else none."""
    envelope = match_envelope(event, 0)
    if envelope is None:
        return []
    fragments, begin = [], envelope.end()
    while (found := find_next_envelope(event, begin)) is not None:
        inner = match_envelope(event, found[1])
        if inner is None or inner[2] != envelope[2]:
            return []
        fragments.append(event[begin : found[0]])
        begin = inner.end()
    if not fragments:
        return []
    fragments.append(event[begin:].removesuffix(b"}"))
    joined = b"".join(fragments)
    return fragments if scan(joined) == (Status.COMPLETE, len(joined)) else []
