"""Defines how a batch is stored on disk: the name and the contents of its file. Pure; accepts any bytes.

The name is enough to count the items without opening the file. The head repeats it, and its checksum covers the
head and the body. Reading parses nothing: the head is built again from name and body, and has to be equal.
"""

import re
import zlib
from collections.abc import Iterable, Iterator

from telemetry_forwarder.core.batch import POSTS, SIGNALS, Batch
from telemetry_forwarder.core.frozen import frozen

_VERSION = 1
# Of several posts in one file: a file for each of hundreds would take longer than the end of SHUTDOWN at 128 MB.
POSTS_BYTES = 262_144
_MAX_SIZE_DIGITS = 12
_PART = ".part"
# In the year 2262. The name after the largest one would have too many digits.
_LATEST = 2**63 - 1
_NAME = re.compile(
    r"(?P<ordinal>[0-9]{20})-(?P<owner>[0-9a-f]{8})-[0-9a-f]{8}"
    rf"-(?P<signal>{'|'.join((*SIGNALS, POSTS))})-(?P<items>[0-9]{{1,9}})-(?P<size>[0-9]{{1,12}})"
    rf"\.batch({re.escape(_PART)})?"
)


def batches_of_posts(contents: Iterable[bytes], most_bytes: int) -> Iterator[Batch]:
    """Yield a batch for each file in which posts are stored as they are, in their order.

    Small ones are stored together, up to *most_bytes*. One at a time: all copies together may take too much memory.
    """
    group = list[bytes]()
    size_bytes = 0
    for content in contents:
        size_bytes += len(content)
        if group and size_bytes > most_bytes:
            yield _batch_of(group)
            group, size_bytes = [], len(content)
        group.append(content)
    if group:
        yield _batch_of(group)


def _batch_of(contents: list[bytes]) -> Batch:
    if len(contents) == 1:
        return Batch(POSTS, contents[0], 1)
    return Batch(POSTS, b"".join([b"%d:%b" % (len(content), content) for content in contents]), len(contents))


def posts_of(batch: Batch) -> list[bytes]:
    """Return the posts in a batch of `batches_of_posts`; of a forged one, its body."""
    contents = list[bytes]()
    at = 0
    while at < len(batch.body) and len(contents) < batch.items > 1:
        colon = batch.body.find(b":", at, at + _MAX_SIZE_DIGITS)
        if not batch.body[at : max(at, colon)].isdigit():
            break
        end = colon + 1 + int(batch.body[at:colon])
        contents.append(batch.body[colon + 1 : end])
        at = end
    is_whole = at == len(batch.body) and len(contents) == batch.items > 1
    return contents if is_whole else [batch.body]


@frozen
class SpoolFile:
    """What the name of a file contains."""

    name: str
    ordinal: int
    """Nanoseconds since the epoch, made unique: names sort by it."""
    signal: str
    items: int
    size_bytes: int
    """Of the whole file."""

    @property
    def part_name(self) -> str:
        """The name of the file while it is being written."""
        return self.name + _PART

    @property
    def is_part(self) -> bool:
        """Whether the file was not renamed to its final name after it was written."""
        return self.name.endswith(_PART)


@frozen
class SpooledBatch:
    """A batch that was taken while its file is still on disk."""

    file: SpoolFile
    batch: Batch


class SpoolFormat:
    """Encodes and decodes the files of one function version."""

    def __init__(self, *, function: str, version: str, process: bytes) -> None:
        """*process*: random bytes that keep the names of two processes apart."""
        # A variable that is not UTF-8 contains lone surrogates.
        self._identity = f"{function}:{version}".encode("utf-8", "backslashreplace").decode()
        self._owner = f"{zlib.crc32(f'{_VERSION} {self._identity}'.encode()):08x}"
        self._process = process[:4].hex()

    def is_own(self, file: SpoolFile) -> bool:
        """Return whether this process has written *file*."""
        return file.name.split("-", 3)[2] == self._process

    def new_file(self, ordinal: int, batch: Batch, size_bytes: int) -> SpoolFile:
        name = f"{ordinal:020d}-{self._owner}-{self._process}-{batch.signal}-{batch.items}-{size_bytes}.batch"
        return SpoolFile(name, ordinal, batch.signal, batch.items, size_bytes)

    def parse_name(self, name: str) -> SpoolFile | None:
        """Parse a file name; return None if it is not of this function version and format."""
        parts = _NAME.fullmatch(name)
        if parts is None or parts["owner"] != self._owner:
            return None
        ordinal = min(int(parts["ordinal"]), _LATEST)
        return SpoolFile(name, ordinal, parts["signal"], int(parts["items"]), int(parts["size"]))

    def head(self, batch: Batch) -> bytes:
        """Return what precedes the body of *batch* in its file."""
        line = f" telemetry-forwarder {_VERSION} {self._identity} {batch.signal} {batch.items} {len(batch.body)}\n"
        fields = line.encode("utf-8", "replace")
        checksum = zlib.crc32(batch.body, zlib.crc32(fields))
        return f"{checksum:08x}".encode() + fields

    def decode(self, file: SpoolFile, contents: bytes) -> Batch | None:
        """Return the batch in *contents*, or None if a single bit differs from what was written."""
        # The head ends with the first line. If that is damaged, the heads differ anyway.
        at = contents.find(b"\n") + 1
        batch = Batch(file.signal, contents[at:], file.items)
        return batch if self.head(batch) == contents[:at] else None
