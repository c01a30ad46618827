"""Joins the pieces of a record that Lambda has cut. Pure; never raises; bounded.

Lambda cuts a record longer than about 256 KiB in mid-JSON. Each piece comes in an envelope of its own whose
`record` is a raw run of the record's bytes: `"record":{"message":"AAAA}` and then `"record":BBBB"}}`, in one post or
in two. A piece belongs to the one before if both together could still become JSON.
"""

from typing import NamedTuple

from telemetry_forwarder.telemetry.json_scanner import Shape, measure

# Lambda lets a function log lines of a few hundred KiB; this is far beyond, and bounds what waits here.
_MAX_HELD_BYTES = 8_388_608
# `function`, `extension`, and what mutations make of them.
_MAX_HELD_TYPES = 16


class Piece(NamedTuple):
    """A run of bytes of one record, and the envelope that it came in."""

    type: str
    time: str
    raw: bytes
    observed_ns: int
    is_whole: bool = False
    """Whether *raw* is JSON, as far as we can tell; if not, it is all that ever came."""


class Reassembler:
    """Holds, per type, the one record whose rest has not come yet."""

    def __init__(self) -> None:
        self._begun: dict[str, Piece] = {}

    @property
    def held(self) -> int:
        return len(self._begun)

    def holds(self, type_: str) -> bool:
        return type_ in self._begun

    def needs_next(self, type_: str) -> bool:
        """Whether what is held of a type ends within an escape, `\\` of `\\"`: then the next piece belongs to it.

        By itself the rest of such a string is JSON, too.
        """
        return self.holds(type_) and _ends_in_escape(self._begun[type_].raw)

    def fits(self, piece: Piece) -> bool:
        """Whether a piece could belong to what is held of its type, or begin a record where nothing is."""
        begun = self._begun.get(piece.type)
        return _shape((begun.raw if begun else b"") + piece.raw) is not Shape.WRONG

    def add(self, piece: Piece) -> list[Piece]:
        """Take the next piece; give what is now complete, or known to remain a fragment, oldest first."""
        begun = self._begun.pop(piece.type, None)
        # Lambda posts again what it believes not to have arrived: joined with itself it could pass for JSON.
        # A piece from the middle may well be like the one before.
        if begun is None or (begun.raw, begun.time) == (piece.raw, piece.time):
            return self._settle(piece, _shape(piece.raw))
        joined = begun._replace(raw=begun.raw + piece.raw)
        shape = _shape(joined.raw) if len(joined.raw) <= _MAX_HELD_BYTES else Shape.WRONG
        if shape is Shape.WRONG:
            return [begun, *self._settle(piece, _shape(piece.raw))]
        return self._settle(joined, shape)

    def give_up(self, *, observed_before_ns: int | None = None) -> list[Piece]:
        """Give what is held as fragments: all of it, or what was begun before a moment."""
        given = [
            piece
            for piece in self._begun.values()
            if observed_before_ns is None or piece.observed_ns < observed_before_ns
        ]
        for piece in given:
            del self._begun[piece.type]
        return given

    def _settle(self, piece: Piece, shape: Shape) -> list[Piece]:
        if shape is not Shape.BEGUN or not piece.raw:
            return [piece._replace(is_whole=shape is Shape.WHOLE)]
        if len(self._begun) == _MAX_HELD_TYPES:
            return [piece]
        self._begun[piece.type] = piece
        return []


def _shape(raw: bytes) -> Shape:
    shape, end = measure(raw)
    # Only closing brackets too many are forgiven: Lambda has sent a platform.report with one.
    if shape is Shape.WHOLE and raw[end:].strip(b" \t\r\n}"):
        return Shape.WRONG
    return shape


def _ends_in_escape(raw: bytes) -> bool:
    return (len(raw) - len(raw.rstrip(b"\\"))) % 2 == 1
