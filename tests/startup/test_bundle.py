"""Each case runs in its own process, because an interpreter imports a module only once."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layer.recipe.bundling import LAZY_MODULES
from telemetry_forwarder.startup.bundle import FILE_NAME, SIGNATURE, Bundle, IncompatibleBundleError
from tests.support.opt_tree import assemble
from tests.support.subprocess_coverage import isolated_python

# Counts the work of a warm-up: sources compiled, byte code files opened in the tree, patterns parsed.
WARM_UP = """
import json, sys
lib = sys.argv[1]
sys.path.insert(0, lib)
from re import _compiler, _parser
counts = {"compiled": 0, "opened": 0, "parsed": 0}

def audit(event, arguments):
    if event == "compile":
        counts["compiled"] += 1
    elif event == "open" and str(arguments[0]).startswith(lib):
        counts["opened"] += 1

class Counting:
    def parse(self, *arguments):
        counts["parsed"] += 1
        return _parser.parse(*arguments)
    def __getattr__(self, name):
        return getattr(_parser, name)

_compiler._parser = Counting()
compile_pattern = _compiler.compile
sys.addaudithook(audit)
from telemetry_forwarder.startup.warm_up import WarmUp
warm_up = WarmUp({})
warm_up.wait()
result = dict(counts)
result["problem"] = warm_up.problem
result["lazy"] = [name for name, module in sys.modules.items() if type(module).__name__ == "_LazyModule"]
result["all"] = len(sys.modules)

import collections, dataclasses, inspect, typing
from telemetry_forwarder.startup import inspect_stub, sdk_stub
result["is_restored"] = (
    _compiler.compile is compile_pattern
    and not hasattr(dataclasses, "exec")
    and not hasattr(collections, "eval")
    and not hasattr(typing, "compile")
    and inspect.signature(warm_up.wait).parameters.__class__.__name__ == "mappingproxy"
)
result["data classes"] = {
    f"{name}.{of.__qualname__}": [of.__doc__, str(inspect.signature(of)), str(inspect.get_annotations(of))]
    for name, module in list(sys.modules.items()) if module.__name__ not in result["lazy"]
    for of in list(vars(module).values())
    if isinstance(of, type) and dataclasses.is_dataclass(of) and of.__module__ == name
}
result["modules"] = {
    name: [module.__file__, getattr(module, "__path__", None) and list(module.__path__), module.__package__]
    for name, module in list(sys.modules.items())
    if (getattr(module, "__file__", None) or "").startswith(lib)
}
for name in result["lazy"]:
    hasattr(sys.modules[name], "anything")
result["after use"] = len(sys.modules)
print(json.dumps(result))
"""


def run(lib: Path, program: str) -> Any:
    """Run *program* in a process of its own; return the JSON that it prints."""
    command = isolated_python(program, str(lib))
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    return json.loads(output)


def warm(lib: Path) -> dict[str, Any]:
    result: dict[str, Any] = run(lib, WARM_UP)
    return result


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a private copy of the tree with its bundle."""
    source = assemble() / "telemetry-forwarder" / "lib"
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("bundle") / "lib"))


@pytest.fixture(scope="module")
def with_bundle(lib: Path) -> dict[str, Any]:
    return warm(lib)


@pytest.fixture(scope="module")
def without_bundle(lib: Path) -> dict[str, Any]:
    (lib / FILE_NAME).rename(lib / "aside")
    try:
        return warm(lib)
    finally:
        (lib / "aside").rename(lib / FILE_NAME)


def test_bundle_saves_compiling_and_opening_files(with_bundle: dict[str, Any], without_bundle: dict[str, Any]) -> None:
    assert (with_bundle["compiled"], without_bundle["compiled"] > 50) == (0, True)
    assert (with_bundle["parsed"], without_bundle["parsed"] > 50) == (0, True)
    assert without_bundle["opened"] - with_bundle["opened"] > 150


def test_modules_are_the_same_as_from_files(with_bundle: dict[str, Any], without_bundle: dict[str, Any]) -> None:
    of_files = {name: without_bundle["modules"][name] for name in with_bundle["modules"]}
    assert with_bundle["modules"] == of_files
    assert with_bundle["modules"].keys() >= {"telemetry_forwarder.worker.wiring", "google.protobuf", "orjson"}


def test_lazy_modules_are_loaded_on_first_use(with_bundle: dict[str, Any], without_bundle: dict[str, Any]) -> None:
    assert set(with_bundle["lazy"]) == LAZY_MODULES
    assert without_bundle["all"] - with_bundle["all"] > 10
    assert with_bundle["after use"] - with_bundle["all"] > 10


def test_data_classes_are_the_same_as_with_inspect(with_bundle: dict[str, Any], without_bundle: dict[str, Any]) -> None:
    with_inspect = {name: without_bundle["data classes"][name] for name in with_bundle["data classes"]}
    assert with_bundle["data classes"] == with_inspect
    assert len(with_bundle["data classes"]) >= 2


def test_patches_are_removed_after_the_warm_up(with_bundle: dict[str, Any]) -> None:
    assert with_bundle["is_restored"]


def test_code_that_is_not_in_the_bundle_is_compiled_as_usual(lib: Path) -> None:
    program = """
import json, sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.startup.bundle import Bundle
Bundle().install()
import collections, dataclasses, re
Pair = dataclasses.make_dataclass("Pair", ["left_unknown", "right_unknown"])
Names = collections.namedtuple("Names", "first_unknown last_unknown")
found = re.compile("(?P<name>[a-z]+) has (this|that) pattern", re.I).match("UNKNOWN has that pattern")
print(json.dumps([Pair(1, 2).right_unknown, Names(3, 4).last_unknown, found["name"]]))
"""
    assert run(lib, program) == [2, 4, "UNKNOWN"]


def test_pattern_is_looked_up_with_its_flags(lib: Path) -> None:
    program = """
import json, sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.startup.bundle import Bundle
bundle = Bundle()
bundle.install()
import re
(pattern, flags), *_ = [key for key in bundle._patterns if isinstance(key[0], str) and key[1] == 0]
print(json.dumps([re.compile(pattern).flags, re.compile(pattern, re.I | re.A).flags]))
"""
    plain, other = run(lib, program)
    assert other & (2 | 256) == 2 | 256
    assert plain & (2 | 256) == 0


def test_installing_twice_works(lib: Path) -> None:
    program = """
import json, sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.startup.bundle import Bundle
Bundle().install()
Bundle().install()
import subprocess, telemetry_forwarder.worker.wiring
print(json.dumps(subprocess.PIPE))
"""
    assert run(lib, program) == -1


def cut(content: bytes) -> bytes:
    """Return the index without the code."""
    return content[: len(content) // 4]


@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        pytest.param(cut, "", id="cut"),
        pytest.param(lambda content: content[:60], "EOFError", id="cut within the index"),
        pytest.param(lambda content: b"", "", id="empty"),
        pytest.param(lambda content: b"x" * len(SIGNATURE) + content, "", id="another Python's"),
    ],
)
def test_damaged_bundle_costs_only_time(
    lib: Path, without_bundle: dict[str, Any], damaged: Callable[[bytes], bytes], problem: str
) -> None:
    whole = (lib / FILE_NAME).read_bytes()
    try:
        (lib / FILE_NAME).write_bytes(damaged(whole))
        result = warm(lib)
    finally:
        (lib / FILE_NAME).write_bytes(whole)

    assert "telemetry_forwarder.worker.wiring" in result["modules"]
    assert result["problem"].partition(":")[0] == problem
    assert result["modules"].items() <= without_bundle["modules"].items()
    assert result["is_restored"]


def test_folder_without_a_bundle_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Bundle(str(tmp_path))


def test_bundle_for_another_python_raises_and_is_closed(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(SIGNATURE.replace(b" 1 ", b" 2 ") + bytes(64))
    open_before = set(Path("/proc/self/fd").iterdir())

    with pytest.raises(IncompatibleBundleError, match="another Python"):
        Bundle(str(tmp_path))

    assert set(Path("/proc/self/fd").iterdir()) == open_before
