"""The assembled layer: its bytes, its papers, its size, and our own tests run by the interpreter inside it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from layer.recipe import archive, debian, fetch, pins, portability
from tests.conformance.requirements import make_once, pip
from tests.support.layer_build import CACHE, PROJECT, build, copy_sources, layer_opt, layer_sources, layer_zip

__all__ = ["layer_opt", "layer_sources", "layer_zip"]

_ARCH = "arm64" if os.uname().machine == "aarch64" else "x86_64"


# A build takes some seconds: interpreter and libraries are unpacked, a thousand modules compiled.


def test_two_builds_in_different_folders_are_the_same_bytes(
    layer_sources: Path, layer_zip: Path, tmp_path: Path
) -> None:
    other = copy_sources(layer_sources, tmp_path / "quite another folder")

    assert build(other).read_bytes() == layer_zip.read_bytes()


def test_layer_is_within_what_was_promised(layer_zip: Path) -> None:
    with zipfile.ZipFile(layer_zip) as zipped:
        unzipped_bytes = sum(entry.file_size for entry in zipped.infolist())

    size = archive.Size(layer_zip.stat().st_size, unzipped_bytes)
    archive.keep_within(size, archive.Budget(zipped_bytes=10_000_000, unzipped_bytes=30_000_000))


def failed_build(sources: Path) -> str:
    command = [sys.executable, "-B", "layer/build.py", "--out", "dist", "--cache", str(CACHE)]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not list(sources.glob("dist/*.zip"))
    return done.stderr


def test_build_over_the_budget_fails(layer_sources: Path, tmp_path: Path) -> None:
    sources = copy_sources(layer_sources, tmp_path / "sources")
    (sources / "telemetry_forwarder" / "ballast").write_bytes(os.urandom(5_000_000))

    assert "the budget is 10.00 MB zipped" in failed_build(sources)


def test_build_with_a_file_that_needs_a_newer_glibc_fails(layer_sources: Path, tmp_path: Path) -> None:
    sources = copy_sources(layer_sources, tmp_path / "sources")
    shutil.copy(Path(sys.executable).resolve(), sources / "telemetry_forwarder" / "python")

    assert "telemetry_forwarder/python: needs " in failed_build(sources)


def test_extensions_folder_holds_the_one_file_that_lambda_may_start(layer_opt: Path) -> None:
    assert sorted(path.name for path in layer_opt.iterdir()) == ["extensions", "telemetry-forwarder"]
    [extension] = (layer_opt / "extensions").iterdir()
    assert extension.name == "telemetry-forwarder"
    assert os.access(extension, os.X_OK)


def test_nothing_is_left_to_compile_or_to_write(layer_opt: Path) -> None:
    files = [path for path in layer_opt.rglob("*") if path.is_file()]
    compiled = [path for path in files if path.suffix == ".pyc"]

    assert not [path for path in files if path.suffix == ".py" or "__pycache__" in path.parts]
    assert len(compiled) > 300
    # Flags of PEP 552: a hash, unchecked.
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\0\0\0"}


def test_no_file_knows_where_it_was_built(layer_opt: Path, layer_sources: Path) -> None:
    places = {str(PROJECT).encode(), str(layer_sources).encode(), str(Path.home()).encode() + b"/"}

    files = [path for path in layer_opt.rglob("*.pyc") if path.is_file()]
    assert not [path for path in files if any(place in path.read_bytes() for place in places)]


def test_tree_is_portable(layer_opt: Path) -> None:
    assert portability.complaints(layer_opt, arch=_ARCH) == []


# Papers


def test_bill_of_materials_and_licences_name_the_same_things(layer_opt: Path) -> None:
    root = layer_opt / "telemetry-forwarder"

    sbom = json.loads((root / "sbom.cdx.json").read_text())

    components = {component["name"]: component["version"] for component in sbom["components"]}
    assert set(components) == {path.name for path in (root / "licences").iterdir()}
    assert components.keys() >= {"cpython", "openssl", "libffi", "zlib1g", "certifi", "httpx", "protobuf"}
    version = dict(line.split(" ", 1) for line in (root / "VERSION").read_text().splitlines())
    assert version["python"] == components["cpython"]
    assert version["architecture"] == _ARCH


def test_bill_of_materials_is_valid_cyclonedx(layer_opt: Path) -> None:
    reason = "cyclonedx-python-lib[json-validation] is not installed: pip install '.[layer]'"
    validation = pytest.importorskip("cyclonedx.validation.json", reason=reason)
    schema = pytest.importorskip("cyclonedx.schema", reason=reason)

    text = (layer_opt / "telemetry-forwarder" / "sbom.cdx.json").read_text()

    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text) is None


def test_every_package_that_is_imported_is_shipped_and_no_other_is_used(
    layer_opt: Path, tmp_path: Path
) -> None:
    loaded = json.loads(run_inside(layer_opt, tmp_path, _LOAD_EVERYTHING))

    assert {path for path in loaded.values() if not path.startswith(("frozen", str(tmp_path)))} == set()
    assert "anyio" not in loaded
    assert "google._upb._message" in loaded
    assert loaded.keys() >= {"httpx", "orjson", "ssl", "opentelemetry.sdk.metrics"}


def test_writing_to_a_closed_connection_is_an_exception_and_not_the_end(
    layer_opt: Path, tmp_path: Path
) -> None:
    assert run_inside(layer_opt, tmp_path, _WRITE_TO_NOBODY) == "BrokenPipeError\n"


_WRITE_TO_NOBODY = """
import socket
ours, theirs = socket.socketpair()
theirs.close()
try:
    ours.send(b"hello")
except OSError as exc:
    print(type(exc).__name__)
"""

_LOAD_EVERYTHING = """
import json, sys, pkgutil
import telemetry_forwarder
for module in pkgutil.walk_packages(telemetry_forwarder.__path__, "telemetry_forwarder."):
    if module.name != "telemetry_forwarder.__main__":
        try:
            __import__(module.name)
        except ModuleNotFoundError as missing:
            # The flavour with gRPC is another zip.
            if missing.name.split(".")[0] != "grpc":
                raise
import httpx, opentelemetry.sdk.trace, opentelemetry.sdk.metrics
httpx.Client().close()
# Not by `getattr`: whoever touches a lazy one loads it.
facts = {name: object.__getattribute__(module, "__dict__") for name, module in sys.modules.items()}
print(json.dumps({name: fact.get("__file__") or "frozen" for name, fact in facts.items()}))
"""


# As `python FILE …` and `python -c PROGRAM …`: some of our tests start another interpreter.
_LIKE_PYTHON = """
def main(name):
    import os, sys
    from telemetry_forwarder.startup.bundle import Bundle
    Bundle().install()
    del sys.argv[0]
    # Last, so that the tree comes first; what the layer lacks is for pytest alone.
    sys.path += ["", *os.environ["BEHIND"].split(":")]
    program = sys.argv.pop(1) if name == "-c" else open(name).read()
    exec(compile(program, name, "exec"), {"__name__": "__main__"})
"""


def run_inside(opt: Path, work: Path, program: str, *arguments: str, behind: str = "") -> str:
    """Run *program* in a copy of the tree, started as the extension is, in the place of our own `main`.

    *behind* are folders after those of the tree on the path for modules.
    """
    root = work / "telemetry-forwarder"
    shutil.copytree(opt / "telemetry-forwarder", root)
    package = root / "lib" / "telemetry_forwarder"
    (package / "__main__.pyc").unlink()
    (package / "__main__.py").write_text(_LIKE_PYTHON)
    (work / "program.py").write_text(program)
    command = [str(root / "interpreter"), str(work / "program.py"), *arguments]
    env = {"PATH": "/usr/bin:/bin", "BEHIND": behind}
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Our own tests, by the interpreter and with the modules that are shipped

# Starts a Python that has none of the packages; this one has them all.
_DESELECTED = "test_lifecycle.py::test_heavy_half_that_cannot_be_imported_is_one_line_and_invocations_go_on"
_TEST_TOOLS = ("pytest", "pytest-timeout", "hypothesis", "trustme", "googleapis-common-protos")
_RUN_TESTS = """
import sys
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "--import-mode=append", *sys.argv[1:]]))
"""


def test_our_own_tests_pass_inside_the_layer(layer_opt: Path, tmp_path: Path) -> None:
    """Pure modules and those with sockets; the imports that pytest makes are compiled each time, hence the seconds."""
    tests = tmp_path / "tests"
    shutil.copytree(
        PROJECT / "tests", tests, ignore=shutil.ignore_patterns("__pycache__", "conformance", "bench")
    )
    chosen = [tests / name for name in _unit_tests()]
    arguments = [*map(str, chosen), "--deselect", f"tests/{_DESELECTED}"]
    said = run_inside(layer_opt, tmp_path, _RUN_TESTS, *arguments, behind=_test_tools())

    last_line = said.splitlines()[-1]
    assert "failed" not in last_line
    # Most of the suite: a list of files that has become empty must not pass.
    assert int(last_line.split(" passed")[0].split()[-1]) > 2_000, last_line


def _unit_tests() -> list[str]:
    """The test file of each module; those of no module need processes or the checkout."""
    package, tests = PROJECT / "telemetry_forwarder", PROJECT / "tests"
    modules = [path.relative_to(package) for path in package.rglob("*.py")]
    named = [path.with_name(f"test_{path.name}").as_posix() for path in modules]
    # These compare what comes out of a bundle with what it is without one; here everything comes out of the layer's.
    left_out = {"startup/test_bundle.py", "startup/test_inspect_stub.py"}
    return sorted(name for name in named if (tests / name).exists() and name not in left_out)


def _test_tools() -> str:
    """Two folders: pytest and what our tests import, for the layer's Python; the parts of the stdlib it left out."""
    pinned = pins.read(PROJECT / "layer" / "lock.toml")
    found = fetch.stdlib(pinned.stdlibs, cache=CACHE)
    tools = CACHE / f"{'-'.join(_TEST_TOOLS)}-{_ARCH}-{pinned.python}"
    stdlib = CACHE / f"stdlib-{found.version}"
    if not tools.exists():
        # Newer than what the layer may ask for: these run here and nowhere else.
        newer = f"--platform=manylinux_2_28_{os.uname().machine}"
        target = [*fetch.pip_target(_ARCH, pinned.python), newer, "--target"]
        make_once(tools, lambda made: pip("install", "--quiet", *target, str(made), *_TEST_TOOLS))
    if not stdlib.exists():
        make_once(stdlib, lambda made: _unpack_stdlib(found.debs, pinned.python, made))
    return f"{tools}:{stdlib}"


def _unpack_stdlib(debs: tuple[pins.Deb, ...], python: str, target: Path) -> None:
    for deb in debs:
        for name, content in debian.files(fetch.deb(deb, cache=CACHE)):
            _, is_stdlib, module = name.partition(f"usr/lib/python{python}/")
            if is_stdlib and not module.startswith("lib-dynload"):
                (target / module).parent.mkdir(parents=True, exist_ok=True)
                (target / module).write_bytes(content)
