"""Checks the built layer: its bytes, documents and size. Runs our own tests with its interpreter."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from layer.recipe import archive, debian, fetch, pins, portability
from tests.conformance.requirements import make_once, pip
from tests.support.certificates import issue_certificates
from tests.support.extension_process import ExtensionProcess, checked, lines_of_a_delivery
from tests.support.fake_lambda import NEXT, invoke, shutdown
from tests.support.hostile_variables import GROUPS, hostile_variables
from tests.support.layer_build import CACHE, build, copy_sources, layer_opt, layer_sources, layer_zip, needs
from tests.support.paths import PROJECT

__all__ = ["layer_opt", "layer_sources", "layer_zip"]

_ARCH = "arm64" if os.uname().machine == "aarch64" else "x86_64"


@pytest.mark.parametrize("group", GROUPS)
def test_layer_registers_and_delivers_whatever_the_function_sets(layer_opt: Path, tmp_path: Path, group: str) -> None:
    lines = lines_of_a_delivery(layer_opt, hostile_variables(tmp_path)[group], issue_certificates(tmp_path))

    assert len([line for line in lines if line.startswith("[telemetry-forwarder]")]) == 1


def test_check_works_in_the_layer(layer_opt: Path, tmp_path: Path) -> None:
    printed = checked(layer_opt, issue_certificates(tmp_path))

    assert printed.endswith("delivered: logs, traces, metrics; not delivered: none\n")


@pytest.mark.parametrize("kept_bytes", [None, 0, 100, 1_000_000])
def test_missing_or_truncated_bundle_is_named_and_invocations_continue(
    layer_opt: Path, tmp_path: Path, kept_bytes: int | None
) -> None:
    opt = shutil.copytree(layer_opt, tmp_path / "opt")
    bundle = opt / "telemetry-forwarder" / "lib" / "warm-up.bundle"
    content = bundle.read_bytes()
    bundle.unlink()
    if kept_bytes is not None:
        bundle.write_bytes(content[:kept_bytes])

    with ExtensionProcess(opt, {"TELEMETRY_FORWARDER_ENDPOINT": "http://127.0.0.1:1"}) as extension:
        extension.runtime.respond(NEXT, invoke(), shutdown())
        code, lines = extension.end()

    first, second = lines
    assert code == 0
    assert first.startswith("[telemetry-forwarder] WARN the warm-up bundle cannot be used: ")
    assert second.startswith("[telemetry-forwarder] ERROR forwarding stopped: ")
    assert second.endswith("; invocations continue without it")


# A build takes seconds: interpreter and libraries are unpacked, a thousand modules compiled.


def test_builds_in_different_folders_are_identical(layer_sources: Path, layer_zip: Path, tmp_path: Path) -> None:
    other = copy_sources(layer_sources, tmp_path / "another folder")

    assert build(other).read_bytes() == layer_zip.read_bytes()


def test_layer_is_within_its_budget(layer_zip: Path) -> None:
    with zipfile.ZipFile(layer_zip) as zipped:
        unzipped_bytes = sum(entry.file_size for entry in zipped.infolist())

    size = archive.Size(layer_zip.stat().st_size, unzipped_bytes)
    archive.check_size(size, archive.Budget(zipped_bytes=10_000_000, unzipped_bytes=30_000_000))


def failed_build(sources: Path) -> str:
    command = [sys.executable, "-B", "layer/build.py", "--out", "dist", "--cache", str(CACHE)]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not list(sources.glob("dist/*.zip"))
    return done.stderr


def test_build_over_the_budget_fails(layer_sources: Path, tmp_path: Path) -> None:
    sources = copy_sources(layer_sources, tmp_path / "sources")
    (sources / "telemetry_forwarder" / "large file").write_bytes(os.urandom(5_000_000))

    assert "the budget is 10.00 MB zipped" in failed_build(sources)


def test_build_with_a_file_that_needs_a_newer_glibc_fails(layer_sources: Path, tmp_path: Path) -> None:
    sources = copy_sources(layer_sources, tmp_path / "sources")
    shutil.copy(Path(sys.executable).resolve(), sources / "telemetry_forwarder" / "python")

    assert "telemetry_forwarder/python: needs " in failed_build(sources)


def test_extensions_folder_contains_one_executable(layer_opt: Path) -> None:
    assert sorted(path.name for path in layer_opt.iterdir()) == ["extensions", "telemetry-forwarder"]
    [extension] = (layer_opt / "extensions").iterdir()
    assert extension.name == "telemetry-forwarder"
    assert os.access(extension, os.X_OK)


def test_start_script_names_the_linker_that_the_interpreter_needs(layer_opt: Path) -> None:
    script = (layer_opt / "extensions" / "telemetry-forwarder").read_text()

    [(arch, loader)] = re.findall(r"^arch='(\w+)' loader='([^']+)'$", script, re.MULTILINE)

    assert arch == _ARCH
    assert loader.encode() + b"\0" in (layer_opt / "telemetry-forwarder" / "interpreter").read_bytes()


def test_everything_is_compiled_with_unchecked_hashes(layer_opt: Path) -> None:
    files = [path for path in layer_opt.rglob("*") if path.is_file()]
    compiled = [path for path in files if path.suffix == ".pyc"]

    assert not [path for path in files if path.suffix == ".py" or "__pycache__" in path.parts]
    assert len(compiled) > 300
    # Flags of PEP 552: a hash, unchecked.
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\0\0\0"}


def test_no_file_contains_the_path_of_the_build(layer_opt: Path, layer_sources: Path) -> None:
    paths = {str(PROJECT).encode(), str(layer_sources).encode(), str(Path.home()).encode() + b"/"}

    files = [path for path in layer_opt.rglob("*.pyc") if path.is_file()]
    assert not [path for path in files if any(built_in in path.read_bytes() for built_in in paths)]


def test_tree_is_portable(layer_opt: Path) -> None:
    assert portability.find_problems(layer_opt, arch=_ARCH) == []


def test_sbom_and_licences_list_the_same_components(layer_opt: Path) -> None:
    root = layer_opt / "telemetry-forwarder"

    sbom = json.loads((root / "sbom.cdx.json").read_text())

    components = {component["name"]: component["version"] for component in sbom["components"]}
    assert set(components) == {path.name for path in (root / "licences").iterdir()}
    assert components.keys() >= {"cpython", "openssl", "libffi", "zlib1g", "certifi", "httpx", "protobuf"}
    version = dict(line.split(" ", 1) for line in (root / "VERSION").read_text().splitlines())
    assert version["python"] == components["cpython"]
    assert version["architecture"] == _ARCH
    assert version["commit"]


@pytest.mark.layer_checkers
def test_sbom_is_valid_cyclonedx(layer_opt: Path) -> None:
    reason = "cyclonedx-python-lib[json-validation] is not installed: ./build.sh install layer"
    validation = pytest.importorskip("cyclonedx.validation.json", reason=reason)
    schema = pytest.importorskip("cyclonedx.schema", reason=reason)

    text = (layer_opt / "telemetry-forwarder" / "sbom.cdx.json").read_text()

    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text) is None


def components_of(layer_opt: Path) -> list[Any]:
    sbom: Any = json.loads((layer_opt / "telemetry-forwarder" / "sbom.cdx.json").read_text())
    return list(sbom["components"])


@pytest.mark.layer_checkers
def test_purls_are_canonical_so_that_scanners_find_them(layer_opt: Path) -> None:
    packageurl = needs("packageurl", "packageurl-python")

    purls = [component["purl"] for component in components_of(layer_opt)]

    assert [str(packageurl.PackageURL.from_string(purl)) for purl in purls] == purls
    wheels = pins.read(PROJECT / "layer" / "lock.toml").wheels
    shipped = {f"pkg:pypi/{wheel.name.replace('_', '-')}@{wheel.version}" for wheel in wheels} & set(purls)
    assert len(shipped) == len([purl for purl in purls if purl.startswith("pkg:pypi/")]) > 10


def test_what_is_in_no_package_index_has_the_cpe_of_its_upstream_version(layer_opt: Path) -> None:
    known = {component["name"]: component for component in components_of(layer_opt) if "cpe" in component}

    products = {name: component["cpe"].split(":")[3:6] for name, component in known.items()}

    assert products == {
        "cpython": ["python", "python", known["cpython"]["version"]],
        "libffi": ["libffi_project", "libffi", "3.0.13"],
        "libpython3.13-minimal": ["python", "python", known["libpython3.13-minimal"]["version"].partition("-")[0]],
        "openssl": ["openssl", "openssl", known["openssl"]["version"]],
        "zlib1g": ["zlib", "zlib", "1.3.1"],
    }


def test_every_imported_module_is_part_of_the_layer(layer_opt: Path, tmp_path: Path) -> None:
    loaded = json.loads(run_inside(layer_opt, tmp_path, _LOAD_EVERYTHING))

    assert {path for path in loaded.values() if not path.startswith(("frozen", str(tmp_path)))} == set()
    assert "anyio" not in loaded
    assert "google._upb._message" in loaded
    assert loaded.keys() >= {"httpx", "orjson", "ssl", "opentelemetry.sdk.trace"}


def test_writing_to_a_closed_connection_raises(layer_opt: Path, tmp_path: Path) -> None:
    assert run_inside(layer_opt, tmp_path, _WRITE_TO_CLOSED_CONNECTION) == "BrokenPipeError\n"


_WRITE_TO_CLOSED_CONNECTION = """
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
        __import__(module.name)
import httpx
httpx.Client().close()
# Not with `getattr`, which would load a lazy module.
facts = {name: object.__getattribute__(module, "__dict__") for name, module in sys.modules.items()}
print(json.dumps({name: fact.get("__file__") or "frozen" for name, fact in facts.items()}))
"""


# Behaves like `python FILE …` and `python -c PROGRAM …`, because some of our tests start another interpreter.
_LIKE_PYTHON = """
def main(name, arguments):
    import os, sys
    from telemetry_forwarder.startup.bundle import Bundle
    bundle = Bundle()
    bundle.install()
    bundle.restore()
    del sys.argv[0]
    # Here they hold anyway: site-packages and `PYTHON*` do not exist for this interpreter.
    while sys.argv[0] in ("-I", "-S", "-B"):
        del sys.argv[0]
    name = sys.argv[0]
    # Last, so that the tree has precedence; these folders are only for pytest.
    sys.path += ["", *os.environ["BEHIND"].split(":")]
    program = sys.argv.pop(1) if name == "-c" else open(name).read()
    exec(compile(program, name, "exec"), {"__name__": "__main__"})
"""


def run_inside(opt: Path, work: Path, program: str, *arguments: str, behind: str = "") -> str:
    """Run *program* in a copy of the tree, in the place of our own `main`; return its output.

    *behind* are folders that follow those of the tree on the module search path.
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


# These need a Python without the packages, or with the names of all conventions, of which the layer has those it uses.
_DESELECTED = (
    "otlp/test_resource.py::test_names_are_those_of_the_schema",
    "test_lifecycle.py::test_failed_import_of_the_worker_is_one_line_and_invocations_go_on",
    "test_session.py::test_bundle_that_cannot_be_used_is_logged_if_libraries_are_missing",
)
_TEST_TOOLS = ("pytest", "pytest-timeout", "hypothesis", "trustme", "googleapis-common-protos", "grpcio", "h2")
_RUN_TESTS = """
import sys
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "--import-mode=append", *sys.argv[1:]]))
"""


def test_our_own_tests_pass_inside_the_layer(layer_opt: Path, tmp_path: Path) -> None:
    """Takes seconds, because everything that pytest imports is compiled every time."""
    tests = tmp_path / "tests"
    shutil.copytree(PROJECT / "tests", tests, ignore=shutil.ignore_patterns("__pycache__", "conformance", "bench"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    chosen = [tests / name for name in _unit_tests()]
    arguments = [*map(str, chosen), *(f"--deselect=tests/{name}" for name in _DESELECTED)]
    output = run_inside(layer_opt, tmp_path, _RUN_TESTS, *arguments, behind=_test_tools())

    last_line = output.splitlines()[-1]
    assert "failed" not in last_line
    # Most of the suite: an empty list of files must not pass.
    assert int(last_line.split(" passed")[0].split()[-1]) > 2_000, last_line


def _unit_tests() -> list[str]:
    """The test file of each module; those of no module need processes or the checkout."""
    package, tests = PROJECT / "telemetry_forwarder", PROJECT / "tests"
    modules = [path.relative_to(package) for path in package.rglob("*.py")]
    named = [path.with_name(f"test_{path.name}").as_posix() for path in modules]
    # These compare what comes out of a bundle with what it is without one; here everything comes out of the layer's.
    left_out = {"startup/test_bundle.py", "startup/test_inspect_stub.py", "startup/test_sdk_stub.py"}
    return sorted(name for name in named if (tests / name).exists() and name not in left_out)


def _test_tools() -> str:
    """Return two folders for the layer's Python: pytest and the libraries of our tests, and the complete stdlib."""
    pinned = pins.read(PROJECT / "layer" / "lock.toml")
    chosen = fetch.stdlib(pinned.stdlibs, cache=CACHE)
    tools = CACHE / f"{'-'.join(_TEST_TOOLS)}-{_ARCH}-{pinned.python}"
    stdlib = CACHE / f"stdlib-{chosen.version}"
    if not tools.exists():
        # Newer than the layer may require, because these only run here.
        newer = f"--platform=manylinux_2_28_{os.uname().machine}"
        target = [*fetch.pip_target(_ARCH, pinned.python), newer, "--target"]
        make_once(tools, lambda made: pip("install", "--quiet", *target, str(made), *_TEST_TOOLS))
    if not stdlib.exists():
        make_once(stdlib, lambda made: _unpack_stdlib(chosen.debs, pinned.python, made))
    return f"{tools}:{stdlib}"


def _unpack_stdlib(debs: tuple[pins.Deb, ...], python: str, target: Path) -> None:
    for deb in debs:
        for name, content in debian.files(fetch.deb(deb, cache=CACHE)):
            _, is_stdlib, module = name.partition(f"usr/lib/python{python}/")
            if is_stdlib and not module.startswith("lib-dynload"):
                (target / module).parent.mkdir(parents=True, exist_ok=True)
                (target / module).write_bytes(content)
