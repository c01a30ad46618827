"""Makes a program start without the libpython that it was linked to.

rotel can run processors written in Python; nothing here uses them. Its wheel is linked to the shared library of one
Python version, which Debian's and other builds of the interpreter are without.
"""

import shutil
import struct
from pathlib import Path

from layer.recipe import elf

# https://refspecs.linuxbase.org/elf/gabi4+/ch4.sheader.html and ch4.symtab.html
_SHT_DYNSYM = 11
_GLOBAL, _WEAK = 1, 2


def copy(program: Path, target: Path) -> None:
    """Copy *program* without the need for libpython: symbols of Python that are missing become null."""
    shutil.copy(program, target)
    target.chmod(0o755)
    for library in elf.read(target).needed:
        if library.startswith("libpython"):
            elf.remove_needed(target, library)
    image = bytearray(target.read_bytes())
    _weaken(image)
    target.write_bytes(image)


def _weaken(image: bytearray) -> None:
    (table,) = struct.unpack_from("<Q", image, 40)
    entry_size, count = struct.unpack_from("<HH", image, 58)
    # Of each section: kind, offset, size and the index of the section with its strings.
    sections = [struct.unpack_from("<4xI16xQQI", image, table + index * entry_size) for index in range(count)]
    for kind, offset, size, link in sections:
        if kind == _SHT_DYNSYM:
            for symbol in range(offset, offset + size, 24):
                name, info, section = struct.unpack_from("<IBxH", image, symbol)
                is_of_python = image.startswith((b"Py", b"_Py"), sections[link][1] + name)
                if section == 0 and info >> 4 == _GLOBAL and is_of_python:
                    image[symbol + 4] = _WEAK << 4 | info & 15
