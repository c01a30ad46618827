"""Creates minimal ELF files."""

import struct
from collections.abc import Mapping


def elf_file(
    *,
    needed: tuple[str, ...] = ("libc.so.6",),
    versions: Mapping[str, tuple[str, ...]] | None = None,
    rpath: str = "",
    machine: int = 62,
) -> bytes:
    """Return a minimal dynamically linked ELF file: one segment, a dynamic section, strings, versions."""
    strings = bytearray(b"\0")

    def string(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text) - 1

    entries = [(1, string(name)) for name in needed]
    if rpath:
        entries.append((15, string(rpath)))
    needs = bytearray()
    required = versions or {}
    for index, (library, names) in enumerate(required.items()):
        following = 16 + 16 * len(names) if index + 1 < len(required) else 0
        needs += struct.pack("<HHIII", 1, len(names), string(library), 16, following)
        for position, name in enumerate(names):
            needs += struct.pack("<IHHII", 0, 0, 0, string(name), 16 if position + 1 < len(names) else 0)
    dynamic_at = 64 + 2 * 56
    strings_at = dynamic_at + 16 * (len(entries) + 5)
    needs_at = strings_at + len(strings)
    entries += [(5, strings_at), (10, len(strings)), (0x6FFFFFFE, needs_at), (0x6FFFFFFF, len(required))]
    entries = [entry for entry in entries if required or entry[0] < 0x6FFFFFFE] + [(0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries).ljust(strings_at - dynamic_at, b"\0")
    size = needs_at + len(needs)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 4096)
    pointer = struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8)
    return header + load + pointer + dynamic + bytes(strings) + bytes(needs)
