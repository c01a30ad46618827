"""Tests the steps of the layer's build with small inputs."""

import dataclasses
import hashlib
import io
import json
import lzma
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from layer.recipe import archive, compiling, debian, documents, fetch, packages, pins, relocatable, tree, trim
from tests.support.elf_files import elf_file
from tests.support.paths import LAYER

_PYTHON = Path(sys.executable).resolve()


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_zip_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    for folder, names in (("one", "ab"), ("two", "ba")):
        for name in names:
            write(tmp_path / folder / name / "file", f"content of {name}")
        (tmp_path / folder / "a/file").chmod(0o700 if folder == "one" else 0o755)

    sizes = [archive.write(tmp_path / folder, tmp_path / f"{folder}.zip") for folder in ("one", "two")]

    assert sizes[0] == sizes[1]
    assert sizes[0].unzipped_bytes == 2 * len("content of a")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as zipped:
        modes = {entry.filename: entry.external_attr >> 16 for entry in zipped.infolist()}
    assert modes == {"a/file": 0o100755, "b/file": 0o100644}


@pytest.mark.parametrize("size", [archive.Size(11, 30), archive.Size(10, 31)])
def test_size_over_the_budget_fails(size: archive.Size) -> None:
    budget = archive.Budget(zipped_bytes=10, unzipped_bytes=30)

    archive.check_size(archive.Size(10, 30), budget)
    with pytest.raises(archive.BudgetError, match="the budget is"):
        archive.check_size(size, budget)


def test_byte_code_has_lines_but_no_columns() -> None:
    namespace: dict[str, object] = {}
    program = compiling.PROGRAM.replace(
        "from _frozen_importlib_external import", "from importlib._bootstrap_external import"
    )
    exec(program, namespace)
    without_columns = namespace["without_columns"]
    assert callable(without_columns)

    for path in (Path(pytest.__file__), Path(json.__file__), Path(tarfile.__file__)):
        code = compile(path.read_bytes(), path.name, "exec")
        assert _lines(without_columns(code)) == _lines(code)
        assert all(columns[2:] == (None, None) for columns in without_columns(code).co_positions())


def _lines(code: object) -> list[object]:
    """Return the line of each instruction of *code* and of the code objects in it."""
    lines = [position[0] for position in code.co_positions()]  # type: ignore[attr-defined]
    inner = [constant for constant in code.co_consts if hasattr(constant, "co_consts")]  # type: ignore[attr-defined]
    return [lines, [_lines(constant) for constant in inner]]


def test_sources_are_compiled_with_unchecked_hashes(tmp_path: Path) -> None:
    write(tmp_path / "package/__init__.py", "answer = 42")

    compiling.compile_tree_with(_PYTHON, tmp_path)

    content = (tmp_path / "package/__init__.pyc").read_bytes()
    assert struct.unpack("<I", content[4:8]) == (1,)
    assert not list(tmp_path.rglob("*.py"))


def test_byte_code_has_neither_docstrings_nor_assertions(tmp_path: Path) -> None:
    write(tmp_path / "module.py", '"""Explained."""\n\nassert __doc__, "required"\n')

    compiling.compile_tree_with(_PYTHON, tmp_path)

    content = (tmp_path / "module.pyc").read_bytes()
    assert (b"Explained" in content, b"required" in content) == (False, False)


def test_source_that_does_not_compile_fails_the_build(tmp_path: Path) -> None:
    write(tmp_path / "broken.py", "def")

    with pytest.raises(compiling.CompileError, match="SyntaxError"):
        compiling.compile_tree_with(_PYTHON, tmp_path)


def deb_file(path: Path, files: dict[str, str]) -> Path:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
        link = tarfile.TarInfo("./usr/lib/libz.so.1")
        link.type, link.linkname = tarfile.SYMTYPE, "libz.so.1.3.1"
        tar.addfile(link)
    members = {"debian-binary": b"2.0\n\n", "data.tar.xz": lzma.compress(packed.getvalue())}
    image = b"!<arch>\n"
    for member_name, member in members.items():
        image += f"{member_name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(member):<10}`\n".encode()
        image += member + b"\n" * (len(member) % 2)
    return write(path, image)


def test_debian_package_is_read(tmp_path: Path) -> None:
    deb = deb_file(tmp_path / "z.deb", {"usr/lib/x86_64/libz.so.1.3.1": "lib", "usr/share/doc/z/copyright": "c"})

    assert dict(debian.files(deb)) == {"usr/lib/x86_64/libz.so.1.3.1": b"lib", "usr/share/doc/z/copyright": b"c"}
    assert dict(debian.shared_libraries(deb)) == {"libz.so.1": b"lib"}


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """Start a loopback server with `good.deb` and `bad.deb`; return its URL."""
    folder = tmp_path / "mirror"
    write(folder / "good.deb", "good")
    write(folder / "bad.deb", "bad")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pinned_deb(path: str = "good.deb") -> pins.Deb:
    return pins.Deb("good", "1", path, hashlib.sha256(b"good").hexdigest(), "sha1")


def test_package_is_downloaded_from_the_first_mirror_with_the_pinned_file(tmp_path: Path, mirror: str) -> None:
    mirrors = (f"{mirror}/gone/{{path}}", f"{mirror}/bad.deb", f"{mirror}/{{path}}")

    downloaded = fetch.deb(pinned_deb(), cache=tmp_path, mirrors=mirrors)

    assert downloaded.read_text() == "good"
    assert fetch.deb(pinned_deb(), cache=tmp_path, mirrors=()) == downloaded


def test_mirrors_of_the_variable_replace_those_of_debian(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch.debian_mirrors()[0] == "https://deb.debian.org/debian/{path}"

    monkeypatch.setenv("DEBIAN_MIRRORS", f"{mirror}/gone {mirror}/")

    assert fetch.debian_mirrors() == (f"{mirror}/gone/{{path}}", f"{mirror}/{{path}}")
    assert fetch.deb(pinned_deb(), cache=tmp_path).read_text() == "good"


def test_standard_library_that_is_not_available_is_a_warning_and_the_next_one_is_used(
    tmp_path: Path, mirror: str, capsys: pytest.CaptureFixture[str]
) -> None:
    removed = dataclasses.replace(pinned_deb("bad.deb"), name="removed")
    choices = (pins.Stdlib("3.13.9", (removed,)), pins.Stdlib("3.13.5", (pinned_deb(),)))
    mirrors = (f"{mirror}/{{path}}",)

    assert fetch.stdlib(choices, cache=tmp_path, mirrors=mirrors).version == "3.13.5"
    assert "WARNING: removed 1 is not available" in capsys.readouterr().out
    with pytest.raises(fetch.FetchError, match=r"run layer/lock\.py"):
        fetch.stdlib(choices[:1], cache=tmp_path / "empty", mirrors=mirrors)


def test_every_pin_has_a_hash_for_each_architecture() -> None:
    pinned = pins.read(LAYER / "lock.toml")

    hashes = [wheel.hash_for(arch) for wheel in pinned.wheels for arch in pins.ARCHES]
    debs = [deb for stdlib in pinned.stdlibs for deb in stdlib.debs]
    debs += [deb for arches in pinned.debs.values() for debs in arches.values() for deb in debs]
    assert all(len(value) == 64 for value in [*hashes, *(deb.sha256 for deb in debs)])
    assert {wheel.role for wheel in pinned.wheels} == {"interpreter", "library"}
    assert all(set(arches) == set(pins.ARCHES) for arches in pinned.debs.values())


def test_trim_rules_apply_to_folders_and_everything_below() -> None:
    rules = trim.read(LAYER / "trim.toml")

    assert rules.omits_from_stdlib("idlelib/config.py")
    assert rules.omits_from_stdlib("ctypes/test/test_x.py")
    assert rules.omits_module("_testcapi")
    assert rules.omits_from_package("httpx/_main.py")
    assert not rules.omits_from_stdlib("asyncio/events.py")
    assert not rules.omits_module("_ssl")
    assert not rules.omits_from_package("httpx/_client.py")


def test_wheel_is_unpacked_without_omitted_files(tmp_path: Path) -> None:
    wheel = tmp_path / "p-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as zipped:
        zipped.writestr("p/__init__.py", "")
        zipped.writestr("p/__init__.pyi", "")
        zipped.writestr("p-1.dist-info/METADATA", "Name: p\nVersion: 1\nLicense-Expression: MIT\n\nDescription")
        zipped.writestr("p-1.dist-info/RECORD", "")
        zipped.writestr("p-1.dist-info/licenses/LICENSE", "Licence text")

    packages.place_wheel(wheel, tmp_path / "lib", trim.read(LAYER / "trim.toml"))

    unpacked = {path.relative_to(tmp_path / "lib").as_posix() for path in (tmp_path / "lib").rglob("*.*")}
    assert unpacked == {"p/__init__.py", "p-1.dist-info"}
    metadata = (tmp_path / "lib/p-1.dist-info/METADATA").read_text()
    assert metadata == "Name: p\nVersion: 1\nLicense-Expression: MIT\n"
    assert documents.of_wheel(wheel).texts == {"LICENSE": b"Licence text"}


def test_library_of_unknown_origin_fails_the_build(tmp_path: Path) -> None:
    write(tmp_path / "libmystery.so.1", elf_file())

    with pytest.raises(documents.DocumentsError, match=r"libmystery\.so\.1"):
        documents.of_bundled(tmp_path, {}, LAYER / "licences", shipped=())


def test_component_without_a_licence_fails_the_build(tmp_path: Path) -> None:
    component = documents.Component("p", "1", "pkg:pypi/p@1", "MIT")

    with pytest.raises(documents.DocumentsError, match="p has no licence text"):
        documents.write(tmp_path, name="t", version="1", facts={}, components=[component])


@pytest.mark.parametrize("licence", ["3-Clause BSD License", "MIT OR GPL-3.0-only", "unknown"])
def test_licence_that_nobody_has_accepted_fails_the_build(tmp_path: Path, licence: str) -> None:
    component = documents.Component("p", "1", "pkg:pypi/p@1", licence, {"LICENSE": b"text"})

    with pytest.raises(documents.DocumentsError, match=f"p has the licence {licence}"):
        documents.write(tmp_path, name="t", version="1", facts={}, components=[component])


def test_licences_are_spdx_identifiers_or_expressions(tmp_path: Path) -> None:
    licences = {"one": "MIT", "two": "MPL-2.0 AND (Apache-2.0 OR MIT)"}
    parts = [documents.Component(name, "1", name, licence, {"L": b"text"}) for name, licence in licences.items()]

    documents.write(tmp_path, name="t", version="1", facts={}, components=parts)

    written = json.loads((tmp_path / "sbom.cdx.json").read_text())["components"]
    assert [component["licenses"] for component in written] == [
        [{"license": {"id": "MIT"}}],
        [{"expression": "MPL-2.0 AND (Apache-2.0 OR MIT)"}],
    ]


@pytest.mark.parametrize(
    ("debian_version", "upstream"),
    [("3.13.18-1", "3.13.18"), ("1:1.3.dfsg+really1.3.1-1+b1", "1.3.1"), ("1:1.2.11.dfsg-2+deb11u2", "1.2.11")],
)
def test_cpe_of_a_debian_package_has_the_version_of_upstream(
    tmp_path: Path, debian_version: str, upstream: str
) -> None:
    origin = documents.Origin("Zlib", "zlib:zlib", "upstream=zlib")

    component = documents.of_deb(deb_file(tmp_path / "z.deb", {}), name="z", version=debian_version, origin=origin)

    assert component.cpe == f"cpe:2.3:a:zlib:zlib:{upstream}:*:*:*:*:*:*:*"


def test_relocatable_python_is_copied_without_omitted_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "bin/python3.13", elf_file(needed=("libpython3.13.so.1.0",))).chmod(0o755)
    write(source / "lib/libpython3.13.so.1.0", elf_file())
    write(source / "lib/libunrelated.so", elf_file())
    for name in ("os.py", "json/__init__.py", "idlelib/x.py", "site-packages/pip/__init__.py", "os.txt"):
        write(source / "lib/python3.13" / name, "")
    write(source / "lib/python3.13/lib-dynload/_ssl.cpython-313.so", elf_file())
    write(source / "lib/python3.13/lib-dynload/_tkinter.cpython-313.so", elf_file())

    python = relocatable.RelocatablePython(source)
    python.place(tmp_path / "root", trim.read(LAYER / "trim.toml"))

    placed = tmp_path / "root/python"
    files = {path.relative_to(placed).as_posix() for path in placed.rglob("*") if path.is_file()}
    assert python.minor == "3.13"
    assert files == {
        "bin/python3",
        "lib/libpython3.13.so.1.0",
        "lib/python3.13/os.py",
        "lib/python3.13/json/__init__.py",
        "lib/python3.13/lib-dynload/_ssl.cpython-313.so",
    }


def test_folder_without_python_raises(tmp_path: Path) -> None:
    with pytest.raises(relocatable.RelocatableError, match="has 0 folders"):
        _ = relocatable.RelocatablePython(tmp_path).minor


def test_commit_is_that_of_the_checkout(tmp_path: Path) -> None:
    file = write(tmp_path / "project/file", "1")
    project = file.parent
    assert tree.commit_of(project) == "unknown"

    commit = checkout(project)
    assert tree.commit_of(project) == commit
    assert len(commit) == 40

    file.write_text("2")
    assert tree.commit_of(project) == f"{commit}-dirty"


def test_folder_in_the_checkout_of_something_else_has_no_commit(tmp_path: Path) -> None:
    checkout(write(tmp_path / "project/file", "1").parent.parent)

    assert tree.commit_of(tmp_path / "project") == "unknown"


def checkout(folder: Path) -> str:
    """Make *folder* a git repository of one commit; return the commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=nobody", "-c", "user.email=nobody@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "first"]):
        subprocess.run([*git, *command], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
