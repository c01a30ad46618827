"""Reads what an ELF file requires of its host, and removes two of these requirements.

Only 64-bit little-endian ELF, the only kind that Lambda runs. Edits are in place: no byte moves.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# https://refspecs.linuxbase.org/elf/gabi4+/ch5.dynamic.html and LSB's chapter on symbol versions.
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 10, 14, 15, 29
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_MACHINES = {62: "x86_64", 183: "arm64"}


class ElfError(Exception):
    """The file is not an ELF file that can be shipped."""


@dataclass(frozen=True, slots=True)
class Elf:
    """The requirements of one ELF file. *versions* maps a library's name to the symbol versions required of it."""

    arch: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    versions: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Dynamic:
    """The dynamic section, with access by address and by offset in the file."""

    image: bytes
    arch: str
    start: int
    entries: tuple[tuple[int, int], ...]
    segments: tuple[tuple[int, int, int], ...]

    def first(self, tag: int) -> int | None:
        return next((value for entry_tag, value in self.entries if entry_tag == tag), None)

    def offset(self, address: int) -> int:
        """Return the offset in the file of the byte that is loaded at *address*."""
        for offset, virtual, size in self.segments:
            if virtual <= address < virtual + size:
                return offset + address - virtual
        raise ElfError(f"address {address:#x} is in no segment")

    def string_offset(self, index: int) -> int:
        table = self.first(_DT_STRTAB)
        if table is None:
            raise ElfError("no string table")
        return self.offset(table) + index

    def string(self, index: int) -> str:
        start = self.string_offset(index)
        return self.image[start : self.image.index(b"\0", start)].decode()


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def read(path: Path) -> Elf:
    """Read *path*; raises `ElfError` for anything but a 64-bit little-endian ELF file of a known machine."""
    dynamic = _read_dynamic(path.read_bytes())
    rpaths = [value for tag, value in dynamic.entries if tag in (_DT_RPATH, _DT_RUNPATH)]
    return Elf(
        arch=dynamic.arch,
        needed=tuple(dynamic.string(value) for tag, value in dynamic.entries if tag == _DT_NEEDED),
        rpath=tuple(part for value in rpaths for part in dynamic.string(value).split(":")),
        versions=dict(_versions(dynamic)),
    )


def remove_needed(path: Path, library: str) -> bool:
    """Remove *library* from the needed libraries; return whether it was one.

    Raises `ElfError` if a symbol version of it is required: then it is used.
    """
    dynamic = _read_dynamic(path.read_bytes())
    if library in dict(_versions(dynamic)):
        raise ElfError(f"{path.name} uses symbols of {library}")
    kept = [
        (tag, value) for tag, value in dynamic.entries if not (tag == _DT_NEEDED and dynamic.string(value) == library)
    ]
    if len(kept) == len(dynamic.entries):
        return False
    kept += [(_DT_NULL, 0)] * (len(dynamic.entries) - len(kept))
    _patch(path, dynamic.start, b"".join(struct.pack("<qQ", tag, value) for tag, value in kept))
    return True


def set_rpath(path: Path, rpath: str) -> bool:
    """Replace the search path by one that is not longer; return whether the file has a search path."""
    dynamic = _read_dynamic(path.read_bytes())
    index = next((value for tag, value in dynamic.entries if tag in (_DT_RPATH, _DT_RUNPATH)), None)
    if index is None:
        return False
    room = len(dynamic.string(index).encode())
    if len(rpath) > room:
        raise ElfError(f"{path.name} has room for {room} bytes of search path, not for {rpath}")
    _patch(path, dynamic.string_offset(index), rpath.encode().ljust(room, b"\0"))
    return True


def _patch(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def _read_dynamic(image: bytes) -> _Dynamic:
    if image[:6] != b"\x7fELF\x02\x01":
        raise ElfError("not a 64-bit little-endian ELF file")
    try:
        machine = struct.unpack_from("<H", image, 18)[0]
        if machine not in _MACHINES:
            raise ElfError(f"machine {machine} is neither x86_64 nor arm64")
        headers = list(_program_headers(image))
        start, size = next(((h[1], h[3]) for h in headers if h[0] == _PT_DYNAMIC), (0, 0))
        entries = tuple(struct.iter_unpack("<qQ", image[start : start + size]))
    except struct.error as exc:
        raise ElfError("truncated") from exc
    end = next((i for i, (tag, _) in enumerate(entries) if tag == _DT_NULL), len(entries))
    loads = tuple((offset, virtual, size) for kind, offset, virtual, size in headers if kind == _PT_LOAD)
    return _Dynamic(image, _MACHINES[machine], start, entries[:end], loads)


def _program_headers(image: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, offset, address and size in the file of each segment."""
    table = struct.unpack_from("<Q", image, 32)[0]
    entry_size, count = struct.unpack_from("<HH", image, 54)
    for index in range(count):
        kind, _, offset, virtual, _, size = struct.unpack_from("<IIQQQQ", image, table + index * entry_size)
        yield kind, offset, virtual, size


def _versions(dynamic: _Dynamic) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each library with the symbol versions required of it (the linked lists of .gnu.version_r)."""
    address, count = dynamic.first(_DT_VERNEED), dynamic.first(_DT_VERNEEDNUM) or 0
    if address is None:
        return
    offset = dynamic.offset(address)
    for _ in range(count):
        _, names, library, first, following = struct.unpack_from("<HHIII", dynamic.image, offset)
        required, entry = [], offset + first
        for _ in range(names):
            _, _, _, name, further = struct.unpack_from("<IHHII", dynamic.image, entry)
            required.append(dynamic.string(name))
            entry += further
        yield dynamic.string(library), tuple(required)
        offset += following
