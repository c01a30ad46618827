"""Reads Debian packages: `ar` archives that contain a tar archive."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def files(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each regular file that *deb* would install; links are omitted."""
    with open_contents(deb) as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is not None:
                yield entry.name.removeprefix("./"), content.read()


def open_contents(deb: Path) -> tarfile.TarFile:
    """Return the archive of everything that *deb* would install; the caller closes it."""
    return tarfile.open(fileobj=io.BytesIO(_member(deb.read_bytes(), "data.tar")))


def shared_libraries(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Yield soname and content of the libraries in *deb*.

    The file name contains the full version (libz.so.1.3.1); programs refer to it as libz.so.1.
    """
    for path, content in files(deb):
        name = Path(path).name
        if "lib" in path.split("/")[:2] and name.startswith("lib") and ".so." in name and "gdb" not in name:
            yield ".".join(name.split(".")[:3]), content


def _member(image: bytes, prefix: str) -> bytes:
    """Return the first member of an `ar` archive whose name starts with *prefix*."""
    offset = len(_AR_MAGIC)
    while offset < len(image):
        header = image[offset : offset + _AR_HEADER_BYTES]
        name, size = header[:16].decode().strip(), int(header[48:58])
        offset += _AR_HEADER_BYTES
        if name.startswith(prefix):
            return image[offset : offset + size]
        offset += size + size % 2
    raise ValueError(f"no {prefix} in the package")
