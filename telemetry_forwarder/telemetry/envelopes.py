"""Finds the envelopes in a post that is no JSON: `{"time":…,"type":…,"record":`, as Lambda writes them. Pure."""

import re

from telemetry_forwarder.telemetry.json_scanner import Shape, measure

# No further than the colon: behind it, a space may be the first byte of a piece.
_ENVELOPE = re.compile(
    rb'\{\s*+"time"\s*+:\s*+"([^"]*+)"\s*+,\s*+"type"\s*+:\s*+"([^"]*+)"\s*+,\s*+"record"\s*+:'
)
_NEXT = re.compile(rb"\}\s*+(?:,\s*+)?+(?=%s)" % _ENVELOPE.pattern)
_BETWEEN = re.compile(rb"[ \t\r\n,\[\]]*+")
_RECORD = b'","record":'

Envelope = re.Match[bytes]
"""Its groups are the time and the type; its end is where the record begins."""


def envelope_at(body: bytes, at: int) -> Envelope | None:
    return _ENVELOPE.match(body, at)


def next_envelope(body: bytes, start: int) -> tuple[int, int] | None:
    """Where the record before the next envelope ends, and where that envelope begins."""
    match = _NEXT.search(body, start)
    return match.span() if match else None


def end_of_garbage(body: bytes, at: int) -> int:
    """Where the next envelope begins, if what is at *at* is none; the end of *body* if there is none."""
    match = _ENVELOPE.search(body, at + 1)
    return match.start() if match else len(body)


def skip_separators(body: bytes, at: int) -> int:
    return _BETWEEN.match(body, at).end()  # type: ignore[union-attr]  # matches anywhere


def is_boundary(body: bytes, at: int) -> bool:
    """Whether an event ends at *at*: behind it there is only another one, or nothing."""
    at = skip_separators(body, at)
    return at == len(body) or envelope_at(body, at) is not None


def unframed(rest: bytes) -> bytes:
    """The *rest* of a body without the end of the envelope and of the array."""
    rest = rest.rstrip(b" \t\r\n").removesuffix(b"]")
    return rest.rstrip(b" \t\r\n").removesuffix(b"}")


def may_hide_a_cut(body: bytes, events: int) -> bool:
    """Whether *body*, which is JSON with so many events, has more envelopes than that.

    A list of objects that was cut within a number is such: `[{"a":1},{"time":…,"type":…,"record":2}]`, in the
    envelope of its first piece, is the second piece in its own envelope, and all of it is JSON.
    """
    return body.count(_RECORD) > events


def pieces_within(event: bytes) -> list[bytes]:
    """The pieces of the record, if *event*, which is JSON, is in truth a record that was cut; else none."""
    envelope = envelope_at(event, 0)
    if envelope is None:
        return []
    pieces, begin = [], envelope.end()
    while (found := next_envelope(event, begin)) is not None:
        inner = envelope_at(event, found[1])
        if inner is None or inner[2] != envelope[2]:
            return []
        pieces.append(event[begin : found[0]])
        begin = inner.end()
    if not pieces:
        return []
    pieces.append(event[begin:].removesuffix(b"}"))
    joined = b"".join(pieces)
    return pieces if measure(joined) == (Shape.WHOLE, len(joined)) else []
