import shutil
import sys
from pathlib import Path

import pytest

from layer.recipe import elf, packages, portability
from tests.support.elf_files import elf_file

_PYTHON = Path(sys.executable).resolve()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_requirements_of_an_elf_file_are_read(tmp_path: Path) -> None:
    versions = {"libc.so.6": ("GLIBC_2.17", "GLIBC_2.5"), "libm.so.6": ("GLIBC_2.2.5",)}
    content = elf_file(needed=("libc.so.6", "libm.so.6"), versions=versions, rpath="$ORIGIN/a:/b")

    assert elf.read(write(tmp_path / "x.so", content)) == elf.Elf(
        arch="x86_64", needed=("libc.so.6", "libm.so.6"), rpath=("$ORIGIN/a", "/b"), versions=versions
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh", b"\x7fELF\x01\x01".ljust(64, b"\0"), elf_file(machine=3), elf_file()[:100]],
    ids=["empty", "script", "32-bit", "another machine", "truncated"],
)
def test_other_files_raise(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(elf.ElfError):
        elf.read(write(tmp_path / "x", content))


def test_unused_library_is_removed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.so", elf_file(needed=("libc.so.6", "libstdc++.so.6", "libm.so.6")))

    assert elf.remove_needed(path, "libstdc++.so.6")
    assert elf.read(path).needed == ("libc.so.6", "libm.so.6")
    assert not elf.remove_needed(path, "libstdc++.so.6")


def test_used_library_is_not_removed(tmp_path: Path) -> None:
    versions = {"libstdc++.so.6": ("GLIBCXX_3.4",)}
    path = write(tmp_path / "x.so", elf_file(needed=("libstdc++.so.6",), versions=versions))

    with pytest.raises(elf.ElfError, match=r"uses symbols of libstdc\+\+"):
        elf.remove_needed(path, "libstdc++.so.6")
    assert packages.remove_unused_cxx(tmp_path) == []


def test_search_path_is_replaced_in_place(tmp_path: Path) -> None:
    path = write(tmp_path / "x.so", elf_file(rpath="$ORIGIN/../../libs"))
    size = path.stat().st_size

    assert elf.set_rpath(path, "$ORIGIN")
    assert elf.read(path).rpath == ("$ORIGIN",)
    assert path.stat().st_size == size
    with pytest.raises(elf.ElfError, match="has room for 7 bytes"):
        elf.set_rpath(path, "$ORIGIN/lib")


def test_search_path_is_not_added(tmp_path: Path) -> None:
    assert not elf.set_rpath(write(tmp_path / "x.so", elf_file()), "$ORIGIN")


def test_old_glibc_and_shipped_libraries_are_no_problem(tmp_path: Path) -> None:
    versions = {"libc.so.6": ("GLIBC_2.26",), "libmine.so.1": ("MINE_9",)}
    write(tmp_path / "x.so", elf_file(needed=("libc.so.6", "libmine.so.1"), versions=versions))
    write(tmp_path / "lib/libmine.so.1", elf_file())
    write(tmp_path / "readme.txt", b"not an ELF file")

    assert portability.find_problems(tmp_path, arch="x86_64") == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (elf_file(versions={"libc.so.6": ("GLIBC_2.27",)}), "needs GLIBC_2.27 of libc.so.6"),
        (elf_file(versions={"libm.so.6": ("GLIBC_2.35",)}), "needs GLIBC_2.35 of libm.so.6"),
        (elf_file(versions={"libc.so.6": ("GLIBC_ABI_DT_RELR",)}), "needs GLIBC_ABI_DT_RELR of libc.so.6"),
        (elf_file(versions={"libc.so.6": ("GLIBC_PRIVATE",)}), "needs GLIBC_PRIVATE of libc.so.6"),
        (elf_file(needed=("libstdc++.so.6",)), "needs libstdc++.so.6 of the host"),
        (elf_file(needed=("libz.so.1",)), "needs libz.so.1 of the host"),
        (elf_file(needed=("libcrypt.so.1",)), "needs libcrypt.so.1 of the host"),
        (elf_file(needed=("libssl.so.3",)), "needs libssl.so.3 of the host"),
        (elf_file(needed=("libc.musl-x86_64.so.1",)), "needs libc.musl-x86_64.so.1 of the host"),
        (elf_file(machine=183), "is for arm64, the layer for x86_64"),
        (elf_file()[:100], "truncated"),
    ],
)
def test_any_dependency_on_the_host_is_a_problem(tmp_path: Path, content: bytes, problem: str) -> None:
    write(tmp_path / "lib/x.so", content)

    assert portability.find_problems(tmp_path, arch="x86_64") == [f"lib/x.so: {problem}"]


def test_python_of_this_machine_is_not_portable(tmp_path: Path) -> None:
    shutil.copy(_PYTHON, tmp_path / "python3")

    problems = portability.find_problems(tmp_path, arch=elf.read(_PYTHON).arch)

    assert any("needs GLIBC_2." in problem or "of the host" in problem for problem in problems)
