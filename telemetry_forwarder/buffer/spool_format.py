"""How a batch looks on disk: its file's name and its contents. Pure; any bytes can be judged.

The name says all that is needed to keep books without opening the file; the head repeats it, and its
checksum covers itself and the body. Nothing is parsed on the way back: the head is made anew from the
name and the body, and has to be equal.
"""

import re
import zlib

from telemetry_forwarder.core.batch import POSTS, SIGNALS, Batch
from telemetry_forwarder.core.frozen import frozen

_VERSION = 1
_PART = ".part"
_NAME = re.compile(
    r"(?P<ordinal>[0-9]{20})-(?P<owner>[0-9a-f]{8})-[0-9a-f]{8}"
    rf"-(?P<signal>{'|'.join((*SIGNALS, POSTS))})-(?P<items>[0-9]{{1,9}})-(?P<size>[0-9]{{1,12}})"
    rf"\.batch(?P<part>{re.escape(_PART)})?"
)


@frozen
class SpoolFile:
    """What a file's name says."""

    name: str
    ordinal: int
    """Nanoseconds since the epoch, made unique: names sort by it."""
    signal: str
    items: int
    size_bytes: int
    """Of the whole file."""
    is_part: bool
    """Whether its writer has not, or never, given the file its final name."""

    @property
    def part_name(self) -> str:
        """What the file is called while it is being written."""
        return self.name + _PART


@frozen
class Contents:
    head: bytes
    body: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.head) + len(self.body)


class SpoolFormat:
    """The format of the files of one function version. *life* keeps two processes' names apart."""

    __slots__ = ("_identity", "_life", "_owner")

    def __init__(self, *, function: str, version: str, life: bytes) -> None:
        self._identity = f"{function}:{version}"
        self._owner = f"{zlib.crc32(f'{_VERSION} {self._identity}'.encode()):08x}"
        self._life = life[:4].hex()

    def new_file(self, ordinal: int, batch: Batch, size_bytes: int) -> SpoolFile:
        name = f"{ordinal:020d}-{self._owner}-{self._life}-{batch.signal}-{batch.items}-{size_bytes}.batch"
        return SpoolFile(name, ordinal, batch.signal, batch.items, size_bytes, is_part=False)

    def file(self, name: str) -> SpoolFile | None:
        """What *name* says; None where it is not a name of this function version and of this format."""
        parts = _NAME.fullmatch(name)
        if parts is None or parts["owner"] != self._owner:
            return None
        return SpoolFile(
            name=name,
            ordinal=int(parts["ordinal"]),
            signal=parts["signal"],
            items=int(parts["items"]),
            size_bytes=int(parts["size"]),
            is_part=parts["part"] is not None,
        )

    def contents(self, batch: Batch) -> Contents:
        fields = (
            f" telemetry-forwarder {_VERSION} {self._identity}"
            f" {batch.signal} {batch.items} {len(batch.body)}\n"
        ).encode("utf-8", "replace")
        checksum = zlib.crc32(batch.body, zlib.crc32(fields))
        return Contents(f"{checksum:08x}".encode() + fields, batch.body)

    def batch(self, file: SpoolFile, contents: bytes) -> Batch | None:
        """The batch in *contents*; None where a single bit differs from what was written."""
        # The head ends with the first line, unless it is damaged: then it is not equal either.
        at = contents.find(b"\n") + 1
        batch = Batch(file.signal, contents[at:], file.items)
        return batch if self.contents(batch).head == contents[:at] else None
