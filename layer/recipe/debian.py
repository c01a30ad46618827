"""Reads Debian packages: an `ar` archive with a tar archive inside."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def files(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each regular file that *deb* would install; links are left out."""
    with contents(deb) as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is not None:
                yield entry.name.removeprefix("./"), content.read()


def contents(deb: Path) -> tarfile.TarFile:
    """All that *deb* would install; close it."""
    return tarfile.open(fileobj=io.BytesIO(_member(deb.read_bytes(), "data.tar")))


def shared_libraries(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Yield soname and content of the libraries in *deb*.

    The file is named by its full version (libz.so.1.3.1), those who need it say only libz.so.1.
    """
    for path, content in files(deb):
        name = Path(path).name
        if "lib" in path.split("/")[:2] and name.startswith("lib") and ".so." in name and "gdb" not in name:
            yield ".".join(name.split(".")[:3]), content


def _member(image: bytes, prefix: str) -> bytes:
    """The first member of an `ar` archive whose name starts with *prefix*."""
    place = len(_AR_MAGIC)
    while place < len(image):
        header = image[place : place + _AR_HEADER_BYTES]
        name, size = header[:16].decode().strip(), int(header[48:58])
        place += _AR_HEADER_BYTES
        if name.startswith(prefix):
            return image[place : place + size]
        place += size + size % 2
    raise ValueError(f"no {prefix} in the package")
